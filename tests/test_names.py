"""A class name means one thing throughout the product."""

import ast
from collections import defaultdict
from pathlib import Path

PRODUCT = (
    "cymba", "service", "mqtt_bridge", "workers", "firmware", "simulator", "conformance",
    "gateway", "ops", "benchmarks",
)  # fmt: skip


def test_a_class_name_is_defined_once() -> None:
    top = Path(__file__).parent.parent
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in (path for folder in PRODUCT for path in sorted(top.glob(f"{folder}/**/*.py"))):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(top)))
    assert len(places) > 300
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
