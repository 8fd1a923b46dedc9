"""A session as it runs, by server-sent events.

A view holds a thread of the server as long as it is open, so their number is bounded, for all
together and for each account. It holds no database connection while it waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import structlog
from flask import Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cymba.devices.clocks import from_ms
from cymba.errors import NotFound
from cymba.failures import is_passing, name_of
from cymba.stimulation.session.live import LiveFrame, LiveUpdate, SentRanges, read_update
from cymba.stimulation.wire.messages import (
    END_REASONS,
    EndFrame,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
)
from cymba.voice import said
from service.http import out
from service.http.bearer import current_access, current_account
from service.http.event_streams import (
    MEDIA_TYPE,
    STILL_HERE,
    event,
    event_described,
    event_stream,
    opening,
    stream_described,
)
from service.http.examples import example_of
from service.http.fields import Schema, validation_failed
from service.http.openapi import Resource
from service.http.problems import Unavailable
from service.http.services import Services, services
from service.http.transaction import transaction
from service.http.writing import Writer, writer
from service.shapes.programmes import ShownProgrammeSchema
from service.shapes.sessions import event_detail

blp = Resource("live", "Sessions while they run")

POLL_S = 0.5
HEARTBEAT_S = 5.0
RETRY_MS = 1000
FINISHED = "end"  # the id of the last event; a client that comes back with it gets 204

_log = structlog.get_logger(__name__)


class _LiveFrameSchema(Schema):
    at = out.instant(
        "2026-03-01T18:00:00.000000Z",
        "Of the first sample, as well as it is known now",
        source=out.GIVEN,
    )
    store = out.whole(3735928559, "The device's flash store that numbers the frames")
    seq = out.whole(4200, "The frame's number there")


class LiveStartSchema(_LiveFrameSchema):
    """The session began."""

    programme = out.nested(ShownProgrammeSchema)


class LiveSamplesSchema(_LiveFrameSchema):
    """Readings, `interval_ms` apart."""

    interval_ms = out.whole(1000, source="dt")
    count = out.whole(2, "Of samples", source="n")
    columns = out.table(
        {"amplitude_ua": [1500, 1500]},
        "By channel, whose name ends in its unit, `count` readings; null: the sensor had none. "
        "`rr_ms` has one for each beat",
        source="c",
        additionalProperties={"type": "array", "items": {"type": ["integer", "null"]}},
    )


class LiveEventSchema(_LiveFrameSchema):
    """Something happened, such as `lead_off`."""

    name = out.text("lead_off", "The device's own word", source="event.name")
    detail = event_detail({"impedance_ohm": 24000}, source="event.detail")


class LiveStopSchema(_LiveFrameSchema):
    """The session ended."""

    end_reason = out.text("completed", one_of=END_REASONS, source="reason")


class LiveEndSchema(Schema):
    """All of the session was sent; nothing follows."""


EVENTS: dict[str, type[Schema]] = {
    "start": LiveStartSchema,
    "samples": LiveSamplesSchema,
    "event": LiveEventSchema,
    "stop": LiveStopSchema,
    "end": LiveEndSchema,
}

STREAM = stream_described(
    {"oneOf": [event_described(name, blp.component(schema)) for name, schema in EVENTS.items()]}
)
_SECOND = example_of(LiveSamplesSchema, at="2026-03-01T18:00:01.000000Z", seq=4201)
EXAMPLE = (
    opening(RETRY_MS)
    + event("start", "3735928559:4200-4200", example_of(LiveStartSchema))
    + event("samples", "3735928559:4200-4201", _SECOND)
    + STILL_HERE
    + event("end", FINISHED, example_of(LiveEndSchema))
)
_WRITERS: dict[type[Frame], tuple[str, Writer]] = {
    StartFrame: ("start", writer(LiveStartSchema)),
    SamplesFrame: ("samples", writer(LiveSamplesSchema)),
    EventFrame: ("event", writer(LiveEventSchema)),
    EndFrame: ("stop", writer(LiveStopSchema)),
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
    "The `id` of the last event that was received: the stream continues after it.",
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
    seen = SentRanges() if last_id == FINISHED else SentRanges.parse(last_id)
    if seen is None:
        raise validation_failed({"headers": {"Last-Event-ID": [said("Not an id of this stream.")]}})
    with transaction() as session:
        account_id = current_account(session).id
        update = read_update(session, account_id, session_id, seen)
    if update.state == "gone":
        raise NotFound("There is no such session.")
    if last_id == FINISHED:
        return Response(status=204)
    places = services().streams
    # The places of a device are for all its holders together, who may be one person.
    owners = (account_id, update.device_id)
    if not places.take(*owners):
        raise Unavailable("Too many live views are open. Close one.", code="too-many-streams")
    view = _View(services(), account_id, session_id, seen, current_access().expires_at_s)
    response = event_stream(view.events(update), retry_ms=RETRY_MS, heartbeat_s=HEARTBEAT_S)
    response.call_on_close(lambda: places.leave(*owners))
    return response


@dataclass(slots=True)
class _View:
    at: Services
    account_id: UUID
    session_id: UUID
    seen: SentRanges
    expires_at_s: int

    def events(self, update: LiveUpdate) -> Iterator[str | None]:
        """Of the stream, from `update` on; None where a look found none."""
        while True:
            for live in update.frames:
                yield self._frame(live)
            if update.state == "ended":
                yield event("end", FINISHED, {})
            if update.state != "open" or self._is_over():
                return
            if not update.frames:
                yield None
                self.at.closing.wait(POLL_S)
            try:
                with self.at.sessions.begin() as session:
                    update = read_update(session, self.account_id, self.session_id, self.seen)
            except (DBAPIError, PoolTimeout) as error:
                if not is_passing(error):
                    raise
                _log.warning(
                    "live view cut off: the database does not answer", error=name_of(error)
                )
                return  # the client comes back by itself, and goes on where it was

    def _is_over(self) -> bool:
        return self.at.closing.is_set() or self.at.now().timestamp() >= self.expires_at_s

    def _frame(self, live: LiveFrame) -> str:
        frame = live.frame
        self.seen.add(frame.store, frame.seq)
        name, shown = _WRITERS[type(frame)]
        return event(name, str(self.seen), shown(frame, at=from_ms(live.at_ms)))
