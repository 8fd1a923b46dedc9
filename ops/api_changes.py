"""Whether the API's document breaks a client of the last release: `python -m ops.api_changes`.

`docs/api-released.json` is that release's document without its prose. What is added breaks nobody
(docs/api-compatibility.md). What breaks is told by name, and the exit status is 1. `--write` takes
today's document for the released one: at a release, or where a break is meant.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ops.openapi import document

RELEASED: Final = Path(__file__).parents[1] / "docs" / "api-released.json"
METHODS: Final = ("get", "put", "post", "patch", "delete")
# What a schema says of a value. The rest is prose, or follows from these.
_SAYS: Final = (
    "$ref", "type", "format", "enum", "const", "required", "minimum", "maximum", "minLength",
    "maxLength", "minItems", "maxItems", "pattern",
)  # fmt: skip
_INSIDE: Final = ("items", "additionalProperties")
_EITHER: Final = ("anyOf", "oneOf")
_LOWER, _UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")

Json = dict[str, Any]


def contract(api: Json) -> Json:
    """What clients rely on: operations by name, and the schemas that they use."""
    operations = {}
    for path, item in api["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                operations[operation["operationId"]] = {
                    "route": f"{method.upper()} {path}",
                    "parameters": {
                        f"{one['in']} {one['name']}": {
                            "required": one.get("required", False),
                            "schema": _plain(one["schema"]),
                        }
                        for one in [*item.get("parameters", ()), *operation.get("parameters", ())]
                    },
                    "body": _content(operation.get("requestBody", {})),
                    "answers": {
                        status: _content(answer)
                        for status, answer in operation["responses"].items()
                        if status < "300"
                    },
                }
    schemas = {name: _plain(schema) for name, schema in api["components"]["schemas"].items()}
    return {"operations": operations, "schemas": schemas}


def breaks(before: Json, after: Json) -> list[str]:
    """What a client that was made from `before` cannot rely on in `after`."""
    return list(dict.fromkeys(_Comparison(before, after).operations()))


def _content(body: Json) -> Json:
    return {name: _plain(media["schema"]) for name, media in body.get("content", {}).items()}


def _plain(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    plain = {name: schema[name] for name in _SAYS if name in schema}
    plain |= {name: _plain(schema[name]) for name in _INSIDE if name in schema}
    plain |= {name: [_plain(one) for one in schema[name]] for name in _EITHER if name in schema}
    if "properties" in schema:
        plain["properties"] = {name: _plain(one) for name, one in schema["properties"].items()}
    return plain


class _Comparison:
    def __init__(self, before: Json, after: Json) -> None:
        self.before, self.after = before, after
        self.seen: set[tuple[str, bool]] = set()

    def operations(self) -> Iterator[str]:
        for name, old in self.before["operations"].items():
            new = self.after["operations"].get(name)
            if new is None or new["route"] != old["route"]:
                yield f"{name}: {old['route']} is gone, or has another name"
                continue
            yield from self._parameters(name, old["parameters"], new["parameters"])
            yield from self._contents(f"{name}, body", old["body"], new["body"], sent=True)
            for status, answer in old["answers"].items():
                if status not in new["answers"]:
                    yield f"{name}: the answer {status} is gone"
                else:
                    there = new["answers"][status]
                    yield from self._contents(f"{name}, {status}", answer, there, sent=False)

    def _parameters(self, name: str, old: Json, new: Json) -> Iterator[str]:
        for parameter, one in new.items():
            was_required = parameter in old and old[parameter]["required"]
            if one["required"] and not was_required:
                yield f"{name}: {parameter} is required now"
        for parameter, one in old.items():
            if parameter not in new:
                yield f"{name}: {parameter} is gone, and is refused"
            else:
                there = new[parameter]["schema"]
                yield from self._schema(f"{name}, {parameter}", one["schema"], there, sent=True)

    def _contents(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        if sent and new and not old:
            yield f"{where}: needs one now"
        for media, schema in old.items():
            if media not in new:
                yield f"{where}: {media} is gone"
            else:
                yield from self._schema(where, schema, new[media], sent=sent)

    def _schema(self, where: str, old: Any, new: Any, *, sent: bool) -> Iterator[str]:
        if not isinstance(old, dict) or not isinstance(new, dict):
            if old != new:
                yield f"{where}: another shape"
            return
        if "$ref" in old or "$ref" in new:
            if old.get("$ref") != new.get("$ref"):
                yield f"{where}: another schema, {old.get('$ref')} before, {new.get('$ref')} now"
                return
            name = old["$ref"].rpartition("/")[2]
            if (name, sent) in self.seen or not old["$ref"].startswith("#/components/schemas/"):
                return
            self.seen.add((name, sent))
            schemas = self.before["schemas"][name], self.after["schemas"][name]
            yield from self._schema(name, *schemas, sent=sent)
            return
        yield from self._values(where, old, new, sent=sent)
        yield from self._members(where, old, new, sent=sent)
        for part in _INSIDE:
            if part in old and part in new:
                yield from self._schema(f"{where}[]", old[part], new[part], sent=sent)
        for part in _EITHER:
            if part in old and old[part] != new.get(part):
                added = [one for one in new.get(part, ()) if one not in old[part]]
                if len(added) + len(old[part]) != len(new.get(part, ())):
                    yield f"{where}: one of its alternatives is gone"

    @staticmethod
    def _values(where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        types, now = ({*_listed(one.get("type"))} for one in (old, new))
        if (types - now) if sent else (now - types):
            yield f"{where}: was {sorted(types)}, is {sorted(now)}"
        if old.get("format") != new.get("format") and not (types ^ now):
            yield f"{where}: was of format {old.get('format')}, is {new.get('format')}"
        if not sent:
            return
        if "enum" in new and (gone := {*old.get("enum", ["any other"])} - {*new["enum"]}):
            yield f"{where}: {sorted(map(str, gone))} is refused now"
        for name in _LOWER:
            if name in new and new[name] > old.get(name, float("-inf")):
                yield f"{where}: {name} is {new[name]} now"
        for name in _UPPER:
            if name in new and new[name] < old.get(name, float("inf")):
                yield f"{where}: {name} is {new[name]} now"
        if new.get("pattern") not in (None, old.get("pattern")):
            yield f"{where}: another pattern"

    def _members(self, where: str, old: Json, new: Json, *, sent: bool) -> Iterator[str]:
        members, now = old.get("properties", {}), new.get("properties", {})
        required, needed = {*old.get("required", ())}, {*new.get("required", ())}
        for name in members.keys() - now.keys():
            yield f"{where}/{name}: is gone" + (", and is refused" if sent else "")
        for name in sorted(needed - required) if sent else ():
            yield f"{where}/{name}: is required now"
        for name in sorted(required - needed) if not sent else ():
            if name in now:
                yield f"{where}/{name}: may be missing now"
        for name in members.keys() & now.keys():
            yield from self._schema(f"{where}/{name}", members[name], now[name], sent=sent)


def _listed(held: Any) -> list[Any]:
    return held if isinstance(held, list) else [held]


def _written(parts: Json) -> str:
    """One line for each operation and schema, so that a change shows as one."""
    blocks = [
        f"{json.dumps(kind)}: {{\n"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(held.items()))
        + "\n}"
        for kind, held in parts.items()
    ]
    return "{" + ",\n".join(blocks) + "}\n"


if __name__ == "__main__":
    today = contract(json.loads(document()))
    if "--write" in sys.argv:
        RELEASED.write_text(_written(today))
    else:
        found = breaks(json.loads(RELEASED.read_text()), today)
        for one in found:
            print(one, file=sys.stderr)  # noqa: T201
        sys.exit(bool(found))
