"""A session as it runs, by server-sent events (WHATWG HTML, "Server-sent events").

A view holds a thread of the server as long as it is open, so their number is bounded, for all
together and for each account. It holds no database connection while it waits.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
import structlog
from flask import Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cymba.devices.clocks import from_ms
from cymba.errors import NotFound
from cymba.failures import is_passing, name_of
from cymba.stimulation.session.live import LiveFrame, News, Seen, read_news
from cymba.stimulation.wire.messages import (
    END_REASONS,
    EndFrame,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
)
from service.http import answers
from service.http.bearer import current_access, current_account
from service.http.fields import Schema, validation_failed
from service.http.openapi import Resource
from service.http.problems import Unavailable
from service.http.services import Services, services
from service.http.transaction import transaction
from service.shapes.programmes import ShownProgrammeSchema
from service.shapes.sessions import event_detail

blp = Resource("live", "Sessions while they run")

POLL_S = 0.5
HEARTBEAT_S = 5.0  # also how soon the server notices that a client is gone
MEDIA_TYPE = "text/event-stream"
FINISHED = "end"  # the id of the last event: who comes back with it is told to stay away

_log = structlog.get_logger(__name__)

EXAMPLE = """\
retry: 1000

event: start
id: 3735928559:4200-4200
data: {"at":"2026-03-01T18:00:00Z","store":3735928559,"seq":4200,"programme":{"frequency_hz":25.0,\
"pulse_width_us":250,"amplitude_ua":1500,"on_s":30,"off_s":30,"duration_s":1800,\
"site":"cymba_conchae","side":"left","ramp_ua_per_s":500,"native_level":null,\
"sensory_threshold_ua":900}}

event: samples
id: 3735928559:4200-4201
data: {"at":"2026-03-01T18:00:01Z","store":3735928559,"seq":4201,"interval_ms":1000,"count":2,\
"columns":{"amplitude_ua":[1500,1500]}}

: still here

event: end
id: end
data: {}

"""


class _LiveFrameSchema(Schema):
    at = ma.fields.DateTime(
        required=True, metadata={"description": "Of the first sample, as well as it is known now"}
    )
    store = ma.fields.Integer(
        required=True, metadata={"description": "The device's flash store that numbers the frames"}
    )
    seq = ma.fields.Integer(required=True, metadata={"description": "The frame's number there"})


class LiveStartSchema(_LiveFrameSchema):
    """The session began."""

    programme = ma.fields.Nested(ShownProgrammeSchema, required=True)


class LiveSamplesSchema(_LiveFrameSchema):
    """Readings, `interval_ms` apart."""

    interval_ms = ma.fields.Integer(required=True)
    count = ma.fields.Integer(required=True, metadata={"description": "Of samples"})
    columns = ma.fields.Dict(
        required=True,
        metadata={
            "description": "By channel, whose name ends in its unit, `count` readings; null: the "
            "sensor had none. `rr_ms` has one for each beat",
            "additionalProperties": {"type": "array", "items": {"type": ["integer", "null"]}},
        },
    )


class LiveEventSchema(_LiveFrameSchema):
    """Something happened, such as `lead_off`."""

    name = ma.fields.String(required=True, metadata={"description": "The device's own word"})
    detail = event_detail()


class LiveStopSchema(_LiveFrameSchema):
    """The session ended."""

    end_reason = ma.fields.String(required=True, validate=ma.validate.OneOf(END_REASONS))


class LiveEndSchema(Schema):
    """All of the session was sent; nothing follows."""


EVENTS: dict[str, type[Schema]] = {
    "start": LiveStartSchema,
    "samples": LiveSamplesSchema,
    "event": LiveEventSchema,
    "stop": LiveStopSchema,
    "end": LiveEndSchema,
}


def _event_described(name: str, schema: type[Schema]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["event", "id", "data"],
        "properties": {
            "event": {"const": name},
            "id": {"type": "string"},
            "data": {
                "type": "string",
                "contentMediaType": answers.MEDIA_TYPE,
                "contentSchema": blp.component(schema),
            },
        },
    }


# The stream as a list of its events, each with the fields that the format gives it.
STREAM = {
    "type": "string",
    "contentMediaType": MEDIA_TYPE,
    "contentSchema": {
        "type": "array",
        "items": {"oneOf": [_event_described(*event) for event in EVENTS.items()]},
    },
}


@blp.get("/v1/sessions/<uuid:session_id>/live")
@blp.answers(
    200,
    STREAM,
    content_type=MEDIA_TYPE,
    description="Events `start`, `samples`, `event`, `stop` and, when the session is over and all "
    "of it was sent, `end`",
    example=EXAMPLE,
)
@blp.answers(204, description="All was sent before: the Last-Event-ID is that of `end`")
@blp.header(
    "Last-Event-ID",
    "The `id` of the last event that was received: the stream goes on behind it.",
)
@blp.problems("too-many-streams")
def stream_session(session_id: UUID) -> Response:
    """Follow a session while it runs

    Begins with what is stored already. Frames come by store and sequence number as they are
    stored, each once; late ones come late. Times are of the first sample, as well as they are
    known now. The stream ends with the session or with the access token; a client that was cut
    off comes back with Last-Event-ID and misses nothing. Lines that begin with a colon only keep
    the connection alive.
    """
    last_id = request.headers.get("Last-Event-ID", "")
    seen = Seen() if last_id == FINISHED else Seen.parse(last_id)
    if seen is None:
        raise validation_failed({"headers": {"Last-Event-ID": ["Not an id of this stream."]}})
    with transaction() as session:
        account_id = current_account(session).id
        news = read_news(session, account_id, session_id, seen)
    if news.state == "gone":
        raise NotFound("There is no such session.")
    if last_id == FINISHED:
        return Response(status=204)
    places = services().streams
    if not places.take(account_id):
        raise Unavailable("Too many live views are open. Close one.", code="too-many-streams")
    view = _View(services(), account_id, session_id, seen, current_access().expires_at_s)
    response = Response(view.events(news), content_type=MEDIA_TYPE)
    response.headers["X-Accel-Buffering"] = "no"  # a proxy between must not hold events back
    response.call_on_close(lambda: places.leave(account_id))
    return response


@dataclass(slots=True)
class _View:
    at: Services
    account_id: UUID
    session_id: UUID
    seen: Seen
    expires_at_s: int

    def events(self, news: News) -> Iterator[bytes]:
        """The stream, from `news` on."""
        yield b"retry: 1000\n\n"
        quiet_since_s = time.monotonic()
        while True:
            for live in news.frames:
                yield self._event(live)
                quiet_since_s = time.monotonic()
            if news.state == "ended":
                yield f"event: end\nid: {FINISHED}\ndata: {{}}\n\n".encode()
            if news.state != "open" or self._is_over():
                return
            if time.monotonic() - quiet_since_s >= HEARTBEAT_S:
                yield b": still here\n\n"
                quiet_since_s = time.monotonic()
            if not news.frames:
                self.at.closing.wait(POLL_S)
            try:
                with self.at.sessions.begin() as session:
                    news = read_news(session, self.account_id, self.session_id, self.seen)
            except (DBAPIError, PoolTimeout) as error:
                if not is_passing(error):
                    raise
                _log.warning(
                    "live view cut off: the database does not answer", error=name_of(error)
                )
                return  # the client comes back by itself, and goes on where it was

    def _is_over(self) -> bool:
        return self.at.closing.is_set() or self.at.now().timestamp() >= self.expires_at_s

    def _event(self, live: LiveFrame) -> bytes:
        frame = live.frame
        self.seen.add(frame.store, frame.seq)
        name, more = _content(frame)
        shown = {"at": from_ms(live.at_ms), "store": frame.store, "seq": frame.seq, **more}
        return f"event: {name}\nid: {self.seen}\ndata: {answers.dumps(shown).decode()}\n\n".encode()


def _content(frame: Frame) -> tuple[str, dict[str, Any]]:
    match frame:
        case StartFrame():
            return "start", {"programme": msgspec.to_builtins(frame.programme)}
        case SamplesFrame():
            return "samples", {"interval_ms": frame.dt, "count": frame.n, "columns": frame.c}
        case EventFrame():
            return "event", {"name": frame.event.name, "detail": frame.event.detail}
        case EndFrame():
            return "stop", {"end_reason": frame.reason}
