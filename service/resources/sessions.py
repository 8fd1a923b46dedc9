"""Stimulation sessions: their summaries, what happened in them, and the person's own remarks."""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.changes import was_deleted
from cymba.accounts.merging import Mergeable
from cymba.notes import MAX_NOTE
from cymba.stimulation.session import queries
from cymba.stimulation.session.notes import SessionNotes
from cymba.stimulation.session.pages import PageKey, SessionPages
from cymba.stimulation.wire.messages import DEVICE_ID_PATTERN
from cymba.stimulation.written.sessions import WrittenSessions
from cymba.stimulation.written.tables import WrittenSession
from cymba.stimulation.written.witnesses import lock_alone
from service.http import out
from service.http.answers import nothing, tagged
from service.http.bearer import current_account, ended, hold_reading
from service.http.etags import check_preconditions
from service.http.fields import Flag, Instant, Pattern, Schema, SpanInOrder, Text
from service.http.openapi import Resource
from service.http.paging import (
    PageQuerySchema,
    next_cursor_field,
    opened_cursor,
    seal_cursor,
)
from service.http.reading import reading
from service.http.services import services
from service.http.sql_writing import WrittenInSql, as_written
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.sessions import (
    SessionSchema,
    UnsyncedSchema,
    WantedSessionSchema,
    event_detail,
    session_shown,
    unsynced_shown,
)

blp = Resource("sessions", "Stimulation sessions")


class SessionPageSchema(Schema):
    items = out.many(SessionSchema)
    next_cursor = next_cursor_field()
    unsynced = out.many(
        UnsyncedSchema, "Devices that the person holds, or the one that is asked for"
    )


class SessionQuerySchema(SpanInOrder, PageQuerySchema):
    begin = Instant(
        data_key="from", metadata={"description": "Sessions that started then or after"}
    )
    end = Instant(data_key="to", metadata={"description": "Sessions that started before"})
    device_id = Text(validate=Pattern(DEVICE_ID_PATTERN), about="Of this device alone")


class SessionChangeSchema(Schema):
    """Only what is given changes."""

    note = Text(
        allow_none=True,
        validate=ma.validate.Length(max=MAX_NOTE),
        example="Electrode was dry",
    )
    excluded = Flag(example=True)


class SessionEventSchema(Schema):
    at = out.instant("2026-03-01T18:04:10.000000Z")
    offset_ms = out.whole(250000, "Since the session's `started_at`")
    name = out.text("lead_off", "`start`, `end`, `reboot`, or the device's own word")
    detail = event_detail({"impedance_ohm": 24000})


class SessionEventsSchema(Schema):
    items = out.many(SessionEventSchema)


_pages = SessionPages(WrittenInSql(SessionSchema))
event_shown = writer(SessionEventSchema)


@blp.get("/v1/sessions")
@blp.query(SessionQuerySchema)
@blp.answers(200, SessionPageSchema)
@blp.etag
@blp.shared("sessions")
def list_sessions(query: dict[str, Any]) -> Response:
    """List sessions, the latest first"""
    begin, end, device_id = query.get("begin"), query.get("end"), query.get("device_id")
    with reading() as read:
        scope = f"sessions|{read.account_id}|{begin}|{end}|{device_id}"
        key = opened_cursor(scope, query, tuple[datetime, UUID])
        page = _pages.read(
            read.line,
            read.account_id,
            read.family_id,
            begin=begin,
            end=end,
            device_id=device_id,
            after=key and PageKey(*key),
            limit=query["limit"],
        )
    if page is None:
        raise ended()
    next_cursor = page.next_key and seal_cursor(scope, page.next_key)
    unsynced = [unsynced_shown(one) for one in page.behind if device_id in (None, one.device_id)]
    items = as_written(page.items, session_shown)
    return tagged({"items": items, "next_cursor": next_cursor, "unsynced": unsynced})


@blp.get("/v1/sessions/<uuid:session_id>")
@blp.answers(200, SessionSchema)
@blp.etag
@blp.shared("sessions")
def get_session(session_id: UUID) -> Response:
    """Read one session"""
    with transaction() as session:
        shown = _read(session, current_account(session).id, session_id)
    return tagged(shown, version=shown["version"])


@blp.put("/v1/sessions/<uuid:session_id>")
@blp.body(WantedSessionSchema)
@blp.answers(200, SessionSchema, description="Changed, or as it was already")
@blp.answers(201, SessionSchema, description="Written down")
@blp.etag
@blp.header("If-Match", "The ETag of the copy that was changed; none for a new session.")
@blp.problems("gone", "stale", "if-match-required", "recorded-session")
def write_session(given: dict[str, Any], session_id: UUID) -> Response:
    """Write down a session that no device records, under an id that the app makes

    It is a record and starts nothing. What a device recorded of the same session is shown as one
    with it. The same content again changes nothing, so a retry is harmless. Changing a session
    needs the ETag of the copy that was changed.
    """
    with transaction() as session:
        account_id = current_account(session).id
        written = WrittenSessions().put(
            session, account_id, session_id, given, match=check_preconditions, now=services().now()
        )
        shown = _read(session, account_id, session_id)
    status = 201 if written.is_new else 200
    return tagged(shown, status=status, version=shown["version"])


@blp.patch("/v1/sessions/<uuid:session_id>")
@blp.body(SessionChangeSchema)
@blp.answers(200, SessionSchema)
@blp.etag
@blp.if_match
def update_session(given: dict[str, Any], session_id: UUID) -> Response:
    """Note something, or leave the session out of the insights"""
    with transaction() as session:
        account_id, now = current_account(session).id, services().now()
        found = queries.find_session(session, account_id, session_id)
        edited: Mergeable[Any] = (
            WrittenSessions() if isinstance(found, WrittenSession) else SessionNotes()
        )
        row = edited.lock(session, account_id, session_id)
        check_preconditions(row.version)
        fields = {**edited.values(row), **given}
        edited.put(session, account_id, session_id, fields, match=lambda _: None, now=now)
        shown = _read(session, account_id, session_id)
    return tagged(shown, version=shown["version"])


@blp.delete("/v1/sessions/<uuid:session_id>")
@blp.answers(204, description="Erased, now or before")
@blp.if_match
def delete_session(session_id: UUID) -> Response:
    """Erase a session and its recording, for good

    What the device sends of it later is erased too. What a phone or the person wrote down of
    the same session stays, and is shown in its place.
    """
    with transaction() as session:
        account_id, now = current_account(session).id, services().now()
        if was_deleted(session, account_id, "session", str(session_id)):
            return nothing()
        if isinstance(queries.find_session(session, account_id, session_id), WrittenSession):
            WrittenSessions().delete(
                session, account_id, session_id, match=check_preconditions, now=now
            )
            return nothing()
        lock_alone(session, account_id)
        locked = queries.lock_session(session, account_id, session_id)
        check_preconditions(locked.version)
        queries.delete_session(session, locked, now)
    return nothing()


@blp.get("/v1/sessions/<uuid:session_id>/events")
@blp.answers(200, SessionEventsSchema)
@blp.etag
@blp.shared("sessions")
def list_session_events(session_id: UUID) -> Response:
    """List what happened in a session"""
    with transaction() as session:
        account = current_account(session)
        found = queries.find_session(session, account.id, session_id)
        hold_reading(account)
        events = [] if isinstance(found, WrittenSession) else queries.events_of(session, found)
    return tagged({"items": [event_shown(event) for event in events]})


def _read(session: Session, account_id: UUID, session_id: UUID) -> dict[str, Any]:
    return session_shown(queries.read_session(session, account_id, session_id))
