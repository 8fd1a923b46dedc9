"""A class name means one thing: no other class of the product, and none of a test, has it too."""

import ast
from collections import defaultdict
from pathlib import Path


def test_a_class_name_of_the_product_is_defined_once() -> None:
    top = Path(__file__).parent.parent
    places: defaultdict[str, list[str]] = defaultdict(list)
    packages = {path.parent for path in top.glob("*/*.py") if path.parent.name[0] != "."}
    for path in sorted(path for package in packages for path in package.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(top)))
    assert len(places) > 300
    doubled = {
        name: where
        for name, where in places.items()
        if len(where) > 1 and not all(one.startswith("tests/") for one in where)
    }
    assert doubled == {}
