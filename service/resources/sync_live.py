"""Being told that there is something to pull, by server-sent events.

A stream holds a thread as long as it is open, so their number is bounded, for all together and for
each account. It holds no connection to the database.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response, g, request

from cymba.accounts import single_use
from cymba.accounts.tokens import AccessToken
from cymba.errors import Rejected, Unauthenticated
from cymba.sync.watching import Mark, Watcher
from cymba.voice import said
from service.http import out
from service.http.answers import answer
from service.http.bearer import current_access, current_account, require_token
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
from service.http.fields import Schema, Text, validation_failed
from service.http.openapi import Resource
from service.http.paging import open_cursor, seal_cursor
from service.http.problems import Unavailable
from service.http.services import Services, services
from service.http.transaction import transaction
from service.http.watching import POLL_S

blp = Resource("sync_live", "Being told that there is something to pull")

HEARTBEAT_S = 15.0
RETRY_MS = 5000
UNASKED_S = 3.0  # for clients that read any answer to its end, and take a stream for one
TICKET_LIFETIME = timedelta(seconds=30)
_TICKET = re.compile(r"[A-Za-z0-9_-]{43}")
_PURPOSE: single_use.Purpose = "live-ticket"


class SyncChangedSchema(Schema):
    """Pull: there are changes. Which, the pull says."""

    cursor = out.text("Qm9yZWQ…", "The event's id, for `after`. It is no cursor for `GET /v1/sync`")


class LiveTicketSchema(Schema):
    ticket = out.text("p3Xk0V9m2Qd7…", "For `ticket`, once")
    expires_at = out.instant("2026-03-01T18:00:30.000000Z")


class LiveQuerySchema(Schema):
    after = Text(
        validate=ma.validate.Length(min=1, max=512),
        about="`next_cursor` of the last pull, or the id of an event: what changed since is told "
        "at once. `Last-Event-ID` goes before it. Without both the first event comes at once",
        example="mKx1t2y0bJ7c",
    )
    ticket = Text(
        validate=ma.validate.Length(max=64),
        about="In place of a token, for clients that can send no header",
        example="p3Xk0V9m2Qd7",
    )


STREAM = stream_described(event_described("changed", blp.component(SyncChangedSchema)))


def _changed(cursor: str) -> str:
    return event("changed", cursor, {"cursor": cursor})


EXAMPLE = opening(RETRY_MS) + _changed(example_of(SyncChangedSchema)["cursor"]) + STILL_HERE


def _token_or_ticket() -> None:
    """Who asks. A ticket is used up by that, whatever comes of the request."""
    ticket = request.args.get("ticket")
    if ticket is None:
        require_token()
        return
    spent = None
    if _TICKET.fullmatch(ticket):
        now = services().now()
        with services().sessions.begin() as session:
            spent = single_use.spend(session, ticket, _PURPOSE, now=now)
    if spent is None or spent.payload is None:
        raise Unauthenticated("The ticket is not good (any more). Ask for a new one.")
    ends = now + services().signer.access_lifetime
    g.access = AccessToken(spent.account_id, UUID(spent.payload), int(ends.timestamp()))


@blp.post("/v1/sync/live-ticket")
@blp.answers(201, LiveTicketSchema)
def make_ticket() -> Response:
    """Make a ticket for a browser's `EventSource`, which can send no token

    It opens one stream of `GET /v1/sync/live`, within 30 seconds, and nothing else. It ends with
    the sign-in that asked for it.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        ticket = single_use.make(
            session,
            account.id,
            _PURPOSE,
            payload=str(current_access().family_id),
            now=now,
            lifetime=TICKET_LIFETIME,
            alone=False,
        )
    return answer({"ticket": ticket, "expires_at": now + TICKET_LIFETIME}, status=201)


@blp.get("/v1/sync/live")
@blp.guard(_token_or_ticket, "bearer", "ticket")
@blp.query(LiveQuerySchema)
@blp.answers(
    200,
    STREAM,
    content_type=MEDIA_TYPE,
    description="An event `changed` each time that there is something to pull",
    example=EXAMPLE,
)
@blp.header("Last-Event-ID", "The `id` of the last event that was received.")
@blp.problems("unauthenticated", "busy", "too-many-streams")
def stream_changes(query: dict[str, Any]) -> Response:
    """Be told when there is something to pull

    An event comes within about two seconds of a change, whatever its kind, and one for many. The
    stream ends with the access token or the sign-in; come back with the last event's id. Lines that
    begin with a colon only keep the connection alive. Send `Accept: text/event-stream`, as
    `EventSource` does: without it the answer ends after three seconds.
    """
    access = current_access()
    watcher = Watcher(access.account_id, access.family_id)
    seen = _seen(watcher.account_id, query)
    with transaction() as session:
        current_account(session)
    at = services()
    if not at.sync_streams.take(watcher.account_id):
        raise Unavailable("Too many of these streams are open. Close one.", code="too-many-streams")
    at.watching.begin(watcher)

    def close() -> None:
        at.watching.end(watcher)
        at.sync_streams.leave(watcher.account_id)

    asked = any(media == MEDIA_TYPE for media, _ in request.accept_mimetypes)
    until_s = math.inf if asked else time.monotonic() + UNASKED_S
    stream = _Stream(at, watcher, seen, access.expires_at_s, until_s)
    response = event_stream(stream.events(), retry_ms=RETRY_MS, heartbeat_s=HEARTBEAT_S)
    response.call_on_close(close)
    return response


class _Place(msgspec.Struct, array_like=True):
    """A mark of ours, or what it has in common with a cursor of a pull."""

    epoch: UUID
    number: int


def _scope(account_id: UUID) -> str:
    return f"sync-live|{account_id}"


def _seen(account_id: UUID, query: Mapping[str, Any]) -> Mark | None:
    """The mark up to which the client knows of changes, by its last event or its last pull."""
    last_id = request.headers.get("Last-Event-ID")
    cursor = last_id or query.get("after")
    if cursor is None:
        return None
    for scope in (_scope(account_id), f"sync|{account_id}"):
        with suppress(Rejected):
            found = open_cursor(scope, cursor, _Place)
            return Mark(found.epoch, found.number)
    location, name = ("headers", "Last-Event-ID") if last_id else ("query", "after")
    raise validation_failed({location: {name: [said("Not a cursor of this account.")]}})


@dataclass(slots=True)
class _Stream:
    at: Services
    watcher: Watcher
    seen: Mark | None
    expires_at_s: int
    until_s: float  # of the monotonic clock

    def events(self) -> Iterator[str | None]:
        """None where a look found no change."""
        while not self._is_over():
            marks = self.at.watching.marks()
            if self.watcher in marks:
                mark = marks[self.watcher]
                if mark is None:
                    return  # signed out
                if self.seen is None or mark.is_after(self.seen):
                    self.seen = mark
                    scope, secret = _scope(self.watcher.account_id), self.at.cursor_key
                    yield _changed(seal_cursor(scope, mark, secret=secret))
            yield None
            self.at.closing.wait(POLL_S)

    def _is_over(self) -> bool:
        has_expired = self.at.now().timestamp() >= self.expires_at_s
        return has_expired or self.at.closing.is_set() or time.monotonic() >= self.until_s
