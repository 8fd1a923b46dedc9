"""Answers as JSON, made by orjson from plain values.

marshmallow describes the answers in the document. It does not write them, because its dump costs
more than all the rest of a page. Tests hold every answer to its schema in the document.
"""

from datetime import UTC, date, datetime
from typing import Any, Final

import orjson
from flask import Response

from service.http.etags import set_etag

MEDIA_TYPE: Final = "application/json"
# orjson leaves out microseconds that are 0, and many a client reads one form of time alone.
_OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_SERIALIZE_NUMPY
_WHOLE_SECOND: Final = len('"2026-03-01T06:30:00Z"')


def dumps(value: Any) -> bytes:
    """JSON; times are in UTC, with six digits of a second, and end with Z."""
    return orjson.dumps(value, _as_json, _OPTIONS)


def _as_json(value: Any) -> orjson.Fragment:
    if not isinstance(value, date):
        raise TypeError(f"an answer holds a {type(value).__name__}")
    text = orjson.dumps(value, option=orjson.OPT_UTC_Z)  # a third of the time of `isoformat`
    if isinstance(value, datetime):
        if not text.endswith(b'Z"'):
            text = orjson.dumps(value.astimezone(UTC), option=orjson.OPT_UTC_Z)
        if len(text) == _WHOLE_SECOND:
            text = text[:-2] + b'.000000Z"'
    return orjson.Fragment(text)


def answer(value: Any, *, status: int = 200) -> Response:
    """`value` as JSON that nobody may cache."""
    return Response(dumps(value), status=status, content_type=MEDIA_TYPE)


def tagged(value: Any, *, status: int = 200, version: int | None = None) -> Response:
    """`value` as JSON with its ETag; `version` where it can be changed under If-Match."""
    body = dumps(value)
    response = Response(body, status=status, content_type=MEDIA_TYPE)
    return set_etag(response, body, version)


def nothing() -> Response:
    """204: done, without a body."""
    response = Response(status=204)
    del response.headers["Content-Type"]  # Flask's default says HTML, of which there is none
    return response
