"""Stimulation sessions: their summaries, what happened in them, and the person's own remarks."""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from cymba.accounts.changes import was_deleted
from cymba.devices.health import devices_behind
from cymba.stimulation.session import queries
from cymba.stimulation.session.events import SessionEvent
from cymba.stimulation.session.queries import SHOWN, PageKey
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.wire.messages import DEVICE_ID_PATTERN, END_REASONS
from service.http.answers import nothing, tagged
from service.http.bearer import current_account
from service.http.etags import check_if_match
from service.http.fields import Flag, Instant, Pattern, Schema, Text
from service.http.openapi import Resource
from service.http.paging import (
    cursor_field,
    limit_field,
    next_cursor_field,
    open_cursor,
    seal_cursor,
)
from service.http.rounding import rounded
from service.http.services import services
from service.http.transaction import transaction
from service.resources.programme_schemas import PROGRAMME_EXAMPLE, ShownProgrammeSchema

blp = Resource("sessions", "Stimulation sessions")

MAX_NOTE_CHARACTERS = 4000
TIME_SOURCES = ("anchored", "device_clock", "between_boots", "arrival")
_NAMES = tuple(column.key for column in SHOWN)

SESSION_EXAMPLE = {
    "id": "5b0d7c2e-8f14-5a39-9c60-1e2f3a4b5c6d",
    "device_id": "ey5f0c4e0b7c1d2a39",
    "time_zone": "Europe/Berlin",
    "state": "ended",
    "started_at": "2026-03-01T18:00:00.120000Z",
    "ended_at": "2026-03-01T18:30:00.120000Z",
    "time_source": "anchored",
    "time_error_ms": 140,
    "end_reason": "completed",
    "programme": PROGRAMME_EXAMPLE,
    "frames_stored": 182,
    "frames_expected": 182,
    "completeness": 1.0,
    "sample_count": 1800,
    "stimulating_s": 900.0,
    "contact_lost_s": 0.0,
    "delivered_charge_uc": 11250.0,
    "pulses": 22500,
    "mean_amplitude_ua": 2000.0,
    "max_amplitude_ua": 2000,
    "mean_amplitude_over_threshold": 2.0,
    "mean_impedance_ohm": 3200.0,
    "heart_rate_before_bpm": 71.5,
    "heart_rate_during_bpm": 70.2,
    "rmssd_ms": 38.4,
    "rr_artefact_share": 0.02,
    "event_count": 0,
    "boots": [17],
    "note": None,
    "excluded": False,
    "version": 3,
    "changed_at": "2026-03-01T18:30:02Z",
}


def _number(about: str, **kwargs: Any) -> ma.fields.Float:
    return ma.fields.Float(
        required=True, allow_none=True, metadata={"description": about}, **kwargs
    )


class SessionSchema(Schema):
    """A session as its frames tell it so far. null: not known, or not to be told from the data."""

    id = ma.fields.UUID(required=True)
    device_id = ma.fields.String(required=True)
    time_zone = ma.fields.String(
        required=True, metadata={"description": "The person's, when the session came"}
    )
    state = ma.fields.String(required=True, validate=ma.validate.OneOf(["open", "ended"]))
    started_at = ma.fields.DateTime(required=True)
    ended_at = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Of the last sample so far, while the session is open"},
    )
    time_source = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(TIME_SOURCES),
        metadata={"description": "What the session's times are known by"},
    )
    time_error_ms = ma.fields.Integer(
        required=True, metadata={"description": "How far off the times may be"}
    )
    end_reason = ma.fields.String(
        required=True, allow_none=True, validate=ma.validate.OneOf(END_REASONS)
    )
    programme = ma.fields.Nested(
        ShownProgrammeSchema,
        required=True,
        allow_none=True,
        metadata={"description": "What the device was set to; null until its start has come"},
    )
    frames_stored = ma.fields.Integer(required=True)
    frames_expected = ma.fields.Integer(required=True, allow_none=True)
    completeness = _number("Share of the session's frames that came")
    sample_count = ma.fields.Integer(required=True)
    stimulating_s = ma.fields.Float(
        required=True, metadata={"description": "With current, ramps included"}
    )
    contact_lost_s = ma.fields.Float(
        required=True, metadata={"description": "In which the electrode had no contact"}
    )
    delivered_charge_uc = _number("Charge delivered, in microcoulomb")
    pulses = ma.fields.Integer(required=True, allow_none=True)
    mean_amplitude_ua = _number("While stimulating. Not comparable between device models")
    max_amplitude_ua = ma.fields.Integer(required=True, allow_none=True)
    mean_amplitude_over_threshold = _number("Multiple of the person's sensory threshold")
    mean_impedance_ohm = _number("While stimulating")
    heart_rate_before_bpm = _number("Mean before the first stimulation")
    heart_rate_during_bpm = _number("Mean while stimulating")
    rmssd_ms = _number("Of beats between artefacts; null if too many are artefacts")
    rr_artefact_share = _number("Share of the beats that are artefacts")
    event_count = ma.fields.Integer(required=True)
    boots = ma.fields.List(
        ma.fields.Integer(),
        required=True,
        metadata={"description": "The device's boots that the session spans"},
    )
    note = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The person's own"}
    )
    excluded = ma.fields.Boolean(
        required=True, metadata={"description": "Left out of the insights by the person"}
    )
    version = ma.fields.Integer(
        required=True, metadata={"description": 'As If-Match: `"<version>"`'}
    )
    changed_at = ma.fields.DateTime(required=True)


class UnsyncedSchema(Schema):
    """A device of which not all may be here: no session in the list does not mean none."""

    device_id = ma.fields.String(required=True)
    unsynced = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["waiting", "unknown"]),
        metadata={
            "description": "`waiting`: it holds frames that are not uploaded. `unknown`: it may "
            "have recorded since it was last heard of"
        },
    )
    backlog_frames = ma.fields.Integer(required=True, allow_none=True)
    complete_until = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "All that it had recorded by then is here"},
    )


class SessionPageSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(SessionSchema), required=True)
    next_cursor = next_cursor_field()
    unsynced = ma.fields.List(
        ma.fields.Nested(UnsyncedSchema),
        required=True,
        metadata={"description": "Devices that the person holds, or the one that is asked for"},
    )


UNSYNCED_EXAMPLE = {
    "device_id": "ey5f0c4e0b7c1d2a39",
    "unsynced": "waiting",
    "backlog_frames": 112,
    "complete_until": "2026-03-01T17:58:00Z",
}


class SessionQuerySchema(Schema):
    begin = Instant(
        data_key="from", metadata={"description": "Sessions that started then or after"}
    )
    end = Instant(data_key="to", metadata={"description": "Sessions that started before"})
    device_id = Text(validate=Pattern(DEVICE_ID_PATTERN))
    cursor = cursor_field()
    limit = limit_field()

    @ma.validates_schema
    def check_order(self, data: dict[str, Any], **_: Any) -> None:
        if "begin" in data and "end" in data and data["begin"] > data["end"]:
            raise ma.ValidationError("Must not be before `from`.", "to")


class SessionChangeSchema(Schema):
    """Only what is given changes."""

    note = Text(allow_none=True, validate=ma.validate.Length(max=MAX_NOTE_CHARACTERS))
    excluded = Flag()


def event_detail() -> ma.fields.Dict:
    """What a device adds to the name of an event, in its own words."""
    return ma.fields.Dict(
        required=True,
        allow_none=True,
        metadata={
            "description": "The device's own: names with a text, a number, true, false or null",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
    )


class EventSchema(Schema):
    at = ma.fields.DateTime(required=True)
    offset_ms = ma.fields.Integer(
        required=True, metadata={"description": "Since the session's `started_at`"}
    )
    name = ma.fields.String(
        required=True,
        metadata={"description": "`start`, `end`, `reboot`, or the device's own word"},
    )
    detail = event_detail()


class EventsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(EventSchema), required=True)


@blp.get("/v1/sessions")
@blp.query(SessionQuerySchema)
@blp.answers(
    200,
    SessionPageSchema,
    example={
        "items": [SESSION_EXAMPLE],
        "next_cursor": None,
        "unsynced": [UNSYNCED_EXAMPLE],
    },
)
@blp.etag
@blp.shared("sessions")
def list_sessions(query: dict[str, Any]) -> Response:
    """List sessions, the latest first"""
    begin, end, device_id = query.get("begin"), query.get("end"), query.get("device_id")
    with transaction() as session:
        account_id = current_account(session).id
        scope = f"sessions|{account_id}|{begin}|{end}|{device_id}"
        after = None
        if "cursor" in query:
            after = PageKey(*open_cursor(scope, query["cursor"], tuple[datetime, UUID]))
        page = queries.page_of_sessions(
            session,
            account_id,
            begin=begin,
            end=end,
            device_id=device_id,
            after=after,
            limit=query["limit"],
        )
        behind = devices_behind(session, account_id)
    key = page.next_key
    next_cursor = key and seal_cursor(scope, key)
    unsynced = [one._asdict() for one in behind if device_id in (None, one.device_id)]
    items = [rounded(item) for item in page.items]
    return tagged({"items": items, "next_cursor": next_cursor, "unsynced": unsynced})


@blp.get("/v1/sessions/<uuid:session_id>")
@blp.answers(200, SessionSchema, example=SESSION_EXAMPLE)
@blp.etag
@blp.shared("sessions")
def get_session(session_id: UUID) -> Response:
    """Read one session"""
    with transaction() as session:
        found = queries.get_session(session, current_account(session).id, session_id)
        shown, version = session_shown(found), found.version
    return tagged(shown, version=version)


@blp.patch("/v1/sessions/<uuid:session_id>")
@blp.body(SessionChangeSchema, example={"note": "Electrode was dry", "excluded": True})
@blp.answers(200, SessionSchema, example=SESSION_EXAMPLE)
@blp.etag
@blp.if_match
def update_session(given: dict[str, Any], session_id: UUID) -> Response:
    """Note something, or leave the session out of the insights"""
    with transaction() as session:
        account_id = current_account(session).id
        locked = queries.lock_session(session, account_id, session_id)
        check_if_match(locked.version)
        queries.edit_session(
            session,
            locked,
            services().now(),
            note=given.get("note", locked.note),
            excluded=given.get("excluded", locked.excluded),
        )
        session.flush()
        shown, version = session_shown(locked), locked.version
    return tagged(shown, version=version)


@blp.delete("/v1/sessions/<uuid:session_id>")
@blp.answers(204, description="Erased, now or before")
@blp.if_match
def delete_session(session_id: UUID) -> Response:
    """Erase a session and its recording, for good

    What the device sends of it later is erased too.
    """
    with transaction() as session:
        account_id = current_account(session).id
        if was_deleted(session, account_id, "session", str(session_id)):
            return nothing()
        locked = queries.lock_session(session, account_id, session_id)
        check_if_match(locked.version)
        queries.hide_session(session, locked, services().now())
    return nothing()


@blp.get("/v1/sessions/<uuid:session_id>/events")
@blp.answers(
    200,
    EventsSchema,
    example={
        "items": [
            {
                "at": "2026-03-01T18:04:10Z",
                "offset_ms": 250000,
                "name": "lead_off",
                "detail": {"impedance_ohm": 24000},
            }
        ]
    },
)
@blp.etag
@blp.shared("sessions")
def list_session_events(session_id: UUID) -> Response:
    """List what happened in a session"""
    with transaction() as session:
        found = queries.get_session(session, current_account(session).id, session_id)
        events = queries.events_of(session, found)
    return tagged({"items": [_event(event) for event in events]})


def session_shown(found: StimulationSession) -> dict[str, Any]:
    """A session as every answer shows it."""
    return rounded({name: getattr(found, name) for name in _NAMES})


def _event(event: SessionEvent) -> dict[str, Any]:
    return {
        "at": event.at,
        "offset_ms": event.offset_ms,
        "name": event.name,
        "detail": event.detail,
    }
