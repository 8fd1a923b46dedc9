"""The AsyncAPI document says what the structs say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cymba.stimulation.wire.channels import CHANNELS
from ops import asyncapi

COMMITTED = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_the_committed_document_is_the_generated_one() -> None:
    assert json.loads(COMMITTED.read_text()) == asyncapi.document(), (
        "python -m ops.asyncapi > docs/asyncapi.json"
    )


def test_every_reference_leads_somewhere() -> None:
    document = asyncapi.document()
    references = list(_references(document))
    assert len(references) > 20
    for reference in references:
        part: Any = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


@pytest.mark.parametrize("name", asyncapi.document()["components"]["schemas"])
def test_every_schema_is_one(name: str) -> None:
    schema = asyncapi.document()["components"]["schemas"][name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"


def test_every_channel_has_its_column() -> None:
    samples = asyncapi.document()["components"]["schemas"]["SamplesFrame"]
    columns = samples["properties"]["c"]["properties"]
    assert columns.keys() == CHANNELS.keys()


def _references(part: Any) -> Any:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
