"""Server-sent events (WHATWG HTML, "Server-sent events"): how a stream is sent, and described."""

import time
from collections.abc import Iterator
from typing import Any

from flask import Response

from service.http import answers

MEDIA_TYPE = "text/event-stream"
STILL_HERE = ": still here\n\n"


def opening(retry_ms: int) -> str:
    """What a stream begins with: how soon a client that was cut off comes back."""
    return f"retry: {retry_ms}\n\n"


def event(name: str, event_id: str, data: dict[str, Any]) -> str:
    return f"event: {name}\nid: {event_id}\ndata: {answers.dumps(data).decode()}\n\n"


def event_stream(steps: Iterator[str | None], *, retry_ms: int, heartbeat_s: float) -> Response:
    """The answer that sends events as they come.

    Args:
        steps: an event, or None where a look found none.
        heartbeat_s: how long it is quiet before a line says that it is still there; also how soon
            the server notices that a client is gone.
    """
    response = Response(_sent(steps, retry_ms, heartbeat_s), content_type=MEDIA_TYPE)
    response.headers["X-Accel-Buffering"] = "no"  # a proxy between must not hold events back
    return response


def _sent(steps: Iterator[str | None], retry_ms: int, heartbeat_s: float) -> Iterator[bytes]:
    yield opening(retry_ms).encode()
    quiet_since_s = time.monotonic()
    for step in steps:
        if step is not None:
            yield step.encode()
        elif time.monotonic() - quiet_since_s >= heartbeat_s:
            yield STILL_HERE.encode()
        else:
            continue
        quiet_since_s = time.monotonic()


def event_described(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """An event for the document, with each of the fields that the format gives it.

    Args:
        data: the schema of its `data`, as `Resource.component` gives it.
    """
    return {
        "type": "object",
        "required": ["event", "id", "data"],
        "properties": {
            "event": {"const": name},
            "id": {"type": "string"},
            "data": {
                "type": "string",
                "contentMediaType": answers.MEDIA_TYPE,
                "contentSchema": data,
            },
        },
    }


def stream_described(each: dict[str, Any]) -> dict[str, Any]:
    """The stream for the document, as a list of its events."""
    return {
        "type": "string",
        "contentMediaType": MEDIA_TYPE,
        "contentSchema": {"type": "array", "items": each},
    }
