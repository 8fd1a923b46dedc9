"""A change of the document that breaks a client is named; one that only adds is not."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from ops.api_changes import breaks, contract

Json = dict[str, Any]


def holding(name: str) -> Json:
    return {"content": {"json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


API: Json = {
    "paths": {
        "/v1/things": {
            "get": {
                "operationId": "list_things",
                "parameters": [{"in": "query", "name": "kind", "schema": {"enum": ["a", "b"]}}],
                "responses": {"200": holding("Thing")},
            },
            "post": {
                "operationId": "make_thing",
                "requestBody": holding("Wanted"),
                "responses": {"201": holding("Thing")},
            },
        }
    },
    "components": {
        "schemas": {
            "Thing": {
                "type": "object",
                "required": ["id", "parts"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "note": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
                },
            },
            "Part": {
                "type": "object",
                "properties": {"kind": {"type": "string", "enum": ["a", "b"]}},
            },
            "Wanted": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 100},
                    "count": {"type": ["integer", "null"], "minimum": 0},
                    "side": {"type": "string", "enum": ["left", "right"]},
                },
            },
        }
    },
}  # fmt: skip


def changed(change: Callable[[Json, Json], object]) -> list[str]:
    after = deepcopy(API)
    change(after["paths"]["/v1/things"], after["components"]["schemas"])
    return breaks(contract(API), contract(after))


BREAKS = {
    "list_things: GET /v1/things is gone": lambda paths, _: paths.pop("get"),
    "has another name": lambda paths, _: paths["get"].update(operationId="things"),
    "query kind is gone": lambda paths, _: paths["get"]["parameters"].clear(),
    "query kind is required now": lambda p, _: p["get"]["parameters"][0].update(required=True),
    "query kind: ['a'] is refused now": lambda p, _: p["get"]["parameters"][0].update(
        schema={"enum": ["b"]}
    ),
    "query row is required now": lambda p, _: p["get"]["parameters"].append(
        {"in": "query", "name": "row", "required": True, "schema": {"type": "string"}}
    ),
    "the answer 201 is gone": lambda p, _: p["post"]["responses"].update(
        {"200": p["post"]["responses"].pop("201")}
    ),
    "200: json is gone": lambda p, _: p["get"]["responses"]["200"]["content"].clear(),
    "Thing/note: is gone": lambda _, s: s["Thing"]["properties"].pop("note"),
    "Thing/id: may be missing now": lambda _, s: s["Thing"].update(required=["parts"]),
    "Thing/id: was ['string'], is ['null', 'string']": lambda _, s: s["Thing"]["properties"][
        "id"
    ].update(type=["string", "null"]),
    "Thing/id: was of format uuid": lambda _, s: s["Thing"]["properties"]["id"].pop("format"),
    "Part/kind: is gone": lambda _, s: s["Part"]["properties"].pop("kind"),
    "Wanted/side: is gone, and is refused": lambda _, s: s["Wanted"]["properties"].pop("side"),
    "Wanted/count: is required now": lambda _, s: s["Wanted"]["required"].append("count"),
    "Wanted/count: was ['integer', 'null'], is ['integer']": lambda _, s: s["Wanted"]["properties"][
        "count"
    ].update(type="integer"),
    "Wanted/count: minimum is 1 now": lambda _, s: s["Wanted"]["properties"]["count"].update(
        minimum=1
    ),
    "Wanted/name: maxLength is 50 now": lambda _, s: s["Wanted"]["properties"]["name"].update(
        maxLength=50
    ),
    "Wanted/name: another pattern": lambda _, s: s["Wanted"]["properties"]["name"].update(
        pattern="^a$"
    ),
    "Wanted/side: ['right'] is refused now": lambda _, s: s["Wanted"]["properties"]["side"].update(
        enum=["left"]
    ),
    "Wanted/name: ['any other'] is refused now": lambda _, s: s["Wanted"]["properties"][
        "name"
    ].update(enum=["x"]),
}
ADDS: dict[str, Callable[[Json, Json], object]] = {
    "an operation": lambda paths, _: paths.update(
        put={"operationId": "save_thing", "responses": {}}
    ),
    "a member of an answer": lambda _, s: s["Thing"]["properties"].update(more={"type": "string"}),
    "what an answer always has": lambda _, s: s["Thing"]["required"].append("note"),
    "a value in an answer": lambda _, s: s["Part"]["properties"]["kind"]["enum"].append("c"),
    "what may be sent": lambda _, s: s["Wanted"]["properties"].update(more={"type": "string"}),
    "a value that may be sent": lambda _, s: s["Wanted"]["properties"]["side"]["enum"].append("no"),
    "what need not be sent": lambda _, s: s["Wanted"]["required"].clear(),
    "a wider limit": lambda _, s: s["Wanted"]["properties"]["name"].update(maxLength=200),
    "a parameter": lambda p, _: p["get"]["parameters"].append(
        {"in": "query", "name": "row", "schema": {"type": "string"}}
    ),
    "prose": lambda p, _: p["get"].update(description="Anew"),
}


@pytest.mark.parametrize(("told", "change"), BREAKS.items(), ids=list(BREAKS))
def test_what_breaks_is_named(told: str, change: Callable[[Json, Json], object]) -> None:
    (found,) = changed(change)
    assert told in found


@pytest.mark.parametrize("change", ADDS.values(), ids=list(ADDS))
def test_what_only_adds_breaks_nobody(change: Callable[[Json, Json], object]) -> None:
    assert changed(change) == []
