"""Every route that reads a body, and every member of each: whatever stands there, the answer is one
that the document describes, and no defect. The bodies are the document's own examples, each with
one thing odd."""

import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import count, islice
from typing import Any
from uuid import uuid4

import pytest

from cymba.accounts import throttle
from cymba.accounts.rate_limiter import Bucket

Path = tuple[str | int, ...]
MARK = "\ufdd0"  # stands for an odd text, which no JSON library would write

VALUES = {
    "deep arrays": "[" * 900 + "]" * 900,
    "deep objects": '{"a":' * 900 + "1" + "}" * 900,
    "wide": "[" + ",".join(["1"] * 3_000) + "]",
    "many members": "{" + ",".join(f'"{n}":1' for n in range(3_000)) + "}",
    "a member twice": '{"a":1,"a":2}',
    "an odd key": '{"\\u0000":1}',
    "a long key": '{"' + "x" * 5_000 + '":1}',
    "a large number": "9" * 400,
    "an endless number": "1e999",
    "half a character": '"\\ud800"',
    "NUL": '"\\u0000"',
    "a long text": '"' + "x" * 20_000 + '"',
    "a text the wrong way round": '"\\u202e\\u0130"',
    "nothing": "null",
    "an odd address": '"Ana<victim@example.org>, b@[.a"',
    "an address of a long name": '"' + "a" * 250 + '@example.org"',
}
BODIES = {
    "deep": "[" * 20_000 + "]" * 20_000,
    "cut off": '{"a":[1,',
    "no JSON": "\x00",
    "no UTF-8": None,
    "empty": "",
    "a text": '"a"',
    "wide": "[" + ",".join(["{}"] * 5_000) + "]",
}


def paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """To every member of an example, and to the first item of each array."""
    inner = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for name, one in inner:
        yield (*at, name)
        if isinstance(one, dict | list):
            yield from paths(one, (*at, name))


def with_value(example: Any, path: Path, text: str) -> str:
    changed = json.loads(json.dumps(example))
    held = changed
    for name in path[:-1]:
        held = held[name]
    held[path[-1]] = MARK
    return json.dumps(changed).replace(json.dumps(MARK), text)


def with_names(example: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """An object whose names are odd."""
    written = json.dumps(example)[1:-1]
    first = json.dumps(next(iter(example.items()))[0])
    yield "a member of the body twice", f"{{{written},{first}:1}}"
    yield "a member of no name", f'{{{written},"":1}}'
    yield "a member whose name is odd", f'{{{written},"\\u0000\\u202e":1}}'
    yield "members of no use", "{" + written + "".join(f',"x{n}":1' for n in range(500)) + "}"


def odd_bodies(example: Any) -> Iterator[tuple[str, bytes]]:
    for kind, whole in BODIES.items():
        yield kind, b"\xff\xfe" if whole is None else whole.encode()
    if isinstance(example, dict):
        for kind, text in with_names(example):
            yield kind, text.encode()
    for turn, path in enumerate(paths(example)):
        for kind, text in islice(VALUES.items(), turn % 2, None, 2):  # every other one in turn
            yield f"{kind} in a member", with_value(example, path, text).encode()


def routes(api: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for path, item in api["paths"].items():
        for method, operation in item.items():
            if method not in {"post", "put", "patch", "delete"} or "requestBody" not in operation:
                continue
            content = operation["requestBody"]["content"]
            media = content.get("application/json")
            if media is not None and "example" in media:
                yield method.upper(), path, media["example"]


@pytest.fixture
def unthrottled(monkeypatch) -> None:
    """Who guesses is refused before the body is of interest."""
    for kind in throttle.BUCKETS:
        monkeypatch.setitem(throttle.BUCKETS, kind, Bucket(10**6, 1e-9))


@pytest.mark.usefixtures("unthrottled")
def test_no_odd_body_is_a_defect(client, person, document, record_property):
    covered: defaultdict[str, set[str]] = defaultdict(set)
    statuses: defaultdict[int, int] = defaultdict(int)
    number = count()
    for method, path, example in routes(document.api):
        asked = path.replace("{device_id}", "ey00000000000000ff")
        while "{" in asked:
            begin, end = asked.index("{"), asked.index("}") + 1
            asked = asked[:begin] + str(uuid4()) + asked[end:]
        for kind, body in odd_bodies(example):
            n = next(number)
            answered = client.open(  # held to the document by the client itself
                asked,
                method=method,
                data=body,
                headers=person.headers | {"Content-Type": "application/json", "If-Match": "*"},
                environ_overrides={"REMOTE_ADDR": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"},
            )
            assert answered.status_code < 500, (method, path, kind)
            statuses[answered.status_code] += 1
            covered[kind].add(f"{method} {path}")
    every = {f"{method} {path}" for method, path, _ in routes(document.api)}
    record_property("routes by what was odd", {kind: len(of) for kind, of in covered.items()})
    record_property("answers", dict(statuses))
    assert len(every) > 20
    for kind in BODIES:
        assert covered[kind] == every, kind
    for kind in VALUES:
        assert len(covered[f"{kind} in a member"]) > 10, kind
    # Were all refused for one thing, little would be tried.
    assert statuses[422] > 300
    assert statuses[400] > 200
