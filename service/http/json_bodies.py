"""Bodies of JSON: read strictly, and whole or item by item."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
from flask import Request
from webargs import core
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from cymba.errors import DomainError
from cymba.voice import said

# No body needs a third of it. Code that walks much deeper ones exceeds its recursion limit.
MAX_DEPTH = 32
# Strings, brackets and commas of a body that is split. It bounds the time that splitting takes.
MAX_MARKS = 100_000


class InvalidJson(DomainError):
    code = "invalid-json"
    status = 400


def whole_body(request: Request) -> bytes:
    """The request's body as it came, of whichever type.

    Raises:
        UnsupportedMediaType: it is compressed, so its real size is unknown.
        RequestEntityTooLarge: it came in pieces and was cut off at the limit.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedMediaType("A compressed body is not taken; send it as it is.")
    body = request.get_data()
    most = request.max_content_length
    if request.content_length is None and most is not None and len(body) >= most:
        raise RequestEntityTooLarge
    return body


def body_of(request: Request) -> bytes:
    """The request's JSON body, as bytes."""
    body = whole_body(request)
    if not body:
        raise InvalidJson("The request has no body; a JSON object is needed.")
    if not core.is_json(request.mimetype):
        raise UnsupportedMediaType
    return body


def read_json(text: bytes) -> Any:
    """Strict UTF-8, no lone surrogates, no NaN, and no object that names a member twice.

    Raises:
        InvalidJson: says what is wrong.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(said("The body is not JSON: {msg}.", msg=error.msg)) from None
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deep(value):
        raise InvalidJson(said("The body is nested more than {most} deep.", most=MAX_DEPTH))
    # orjson keeps the last of two members with one name, so a second parse looks for them. It
    # skips numbers, because a long one would be slow to read.
    json.loads(text, object_pairs_hook=_distinct, parse_int=len, parse_float=len)
    return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        doubled = counted.most_common(1)[0][0]
        raise InvalidJson(
            said("An object names its member {value} twice.", value=repr(doubled[:64]))
        )
    return members


# A string without its end matches to the end of the body. To look for another start inside it
# would take quadratic time.
_STRING_OR_MARK = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{},]', re.DOTALL)


def split_items(body: bytes) -> tuple[Any, list[bytes]]:
    """An object that holds one list: the object with 0 for each item, and the items' own texts.

    So a broken item spoils no other. Lists in other members are split as well: check the object
    before using the items.

    Raises:
        InvalidJson: the text around the items is not JSON, or there are too many values.
    """
    items: list[bytes] = []
    around: list[bytes] = []
    done = 0
    for start, end in _item_spans(body):
        if item := body[start:end].strip():
            items.append(item)
            around += [body[done:start], b"0"]
            done = end
    return read_json(b"".join([*around, body[done:]])), items


def _item_spans(body: bytes) -> Iterator[tuple[int, int]]:
    depth = item_start = 0
    for count, match in enumerate(_STRING_OR_MARK.finditer(body)):
        if count == MAX_MARKS:
            raise InvalidJson("The body has too many values; send it in smaller pieces.")
        mark = match[0]
        if mark in b"]}":
            depth -= 1
            if depth == 1 and mark == b"]":
                yield item_start, match.start()
        elif mark in b"[{":
            depth += 1
            if depth == 2:
                item_start = match.end()
        elif mark == b"," and depth == 2:
            yield item_start, match.start()
            item_start = match.end()
