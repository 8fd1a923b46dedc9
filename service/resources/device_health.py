"""How a device is doing, and whether all that it recorded has arrived."""

from datetime import timedelta
from typing import Any

import marshmallow as ma
from flask import Response

from cymba.devices.health import health
from cymba.devices.held_devices import held_device
from cymba.stimulation.session.completeness import completeness
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.rounding import rounded
from service.http.services import services
from service.http.transaction import transaction
from service.shapes.devices import suspension_field
from service.shapes.sessions import TIME_SOURCES

blp = Resource("device-health", "How a device is doing")

LOOKED_BACK = timedelta(days=30)
UNSYNCED = ("none", "waiting", "unknown")


class ClockSchema(Schema):
    """How well the times of what the device records now are known."""

    source = ma.fields.String(required=True, validate=ma.validate.OneOf(TIME_SOURCES))
    error_ms = ma.fields.Integer(required=True)


class CompletenessSchema(Schema):
    """Of the sessions since `since`, or since the device was claimed."""

    since = ma.fields.DateTime(required=True)
    sessions = ma.fields.Integer(required=True)
    incomplete_sessions = ma.fields.Integer(
        required=True, metadata={"description": "Of which frames are missing"}
    )
    open_sessions = ma.fields.Integer(required=True)
    share = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of the frames of ended sessions; null if there are none"},
    )
    refused_frames = ma.fields.Integer(
        required=True, metadata={"description": "Unreadable; kept for an operator"}
    )


class HealthSchema(Schema):
    online = ma.fields.Boolean(required=True)
    last_seen_at = ma.fields.DateTime(
        required=True, allow_none=True, metadata={"description": "null: it never came online"}
    )
    firmware = ma.fields.String(required=True, allow_none=True)
    battery_pct = ma.fields.Integer(required=True, allow_none=True)
    backlog_frames = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "When it last said so"}
    )
    unsynced = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(UNSYNCED),
        metadata={
            "description": "`none`: all is uploaded. `waiting`: the device holds more. `unknown`: "
            "it may have recorded since it was last heard of, so no session is not none"
        },
    )
    complete_until = ma.fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "All that it had recorded by then is here"},
    )
    clock = ma.fields.Nested(ClockSchema, required=True, allow_none=True)
    suspension = suspension_field()
    completeness = ma.fields.Nested(CompletenessSchema, required=True)


HEALTH_EXAMPLE = {
    "online": True,
    "last_seen_at": "2026-03-01T18:22:05Z",
    "firmware": "2.4.1",
    "battery_pct": 83,
    "backlog_frames": 0,
    "unsynced": "none",
    "complete_until": "2026-03-01T18:22:05Z",
    "clock": {"source": "anchored", "error_ms": 42},
    "suspension": None,
    "completeness": {
        "since": "2026-01-30T18:22:05Z",
        "sessions": 51,
        "incomplete_sessions": 1,
        "open_sessions": 0,
        "share": 0.9994,
        "refused_frames": 0,
    },
}


@blp.get("/v1/devices/<device_id:device_id>/health")
@blp.answers(200, HealthSchema, example=HEALTH_EXAMPLE)
@blp.etag
@blp.problems("not-found")
def get_health(device_id: str) -> Response:
    """Read how a device is doing: last seen, battery, backlog, clock, completeness"""
    now = services().now()
    with transaction() as session:
        account_id = current_account(session).id
        held = held_device(session, account_id, device_id)
        found = health(session, held.presence, now)
        # What it did before this holder is not this holder's to know.
        since = max(held.tenure.claimed_at, now - LOOKED_BACK)
        complete = completeness(session, account_id, device_id, since)
    shown: dict[str, Any] = {
        **found._asdict(),
        "clock": found.clock and found.clock._asdict(),
        "suspension": held.suspension and held.suspension._asdict(),
        "completeness": rounded({"since": since, **complete._asdict()}),
    }
    return tagged(shown)
