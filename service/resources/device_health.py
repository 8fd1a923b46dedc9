"""How a device is doing, and whether all that it recorded has arrived."""

from datetime import datetime, timedelta

from flask import Response
from sqlalchemy.orm import Session

from cymba.devices.health import health
from cymba.devices.held_devices import held_device
from cymba.devices.presence import LastPresence
from cymba.stimulation.session.completeness import completeness, is_cut_off, is_silent
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.devices import ElectrodeSchema, electrodes_shown, suspension_field
from service.shapes.sessions import TIME_SOURCES

blp = Resource("device-health", "How a device is doing")

LOOKED_BACK = timedelta(days=30)
UNSYNCED = ("none", "waiting", "unknown")
HINTS = ("no-frames-arrive", "cut-off")


class DeviceClockSchema(Schema):
    """How well the times of what the device records now are known."""

    source = out.text("anchored", one_of=TIME_SOURCES)
    error_ms = out.whole(42)


class CompletenessSchema(Schema):
    """Of the sessions since `since`, or since the device was claimed."""

    since = out.instant("2026-01-30T18:22:05.000000Z", source=out.GIVEN)
    sessions = out.whole(51)
    incomplete_sessions = out.whole(1, "Of which frames are missing")
    open_sessions = out.whole(0)
    share = out.number(0.9994, "Of the frames of ended sessions; null if there are none", null=True)
    refused_frames = out.whole(0, "Unreadable; kept for an operator")
    missing_frames = out.whole(
        0,
        "Whose numbers lie between those that came; after a restore they may not come any more",
    )


class DeviceHealthSchema(Schema):
    online = out.flag(True)
    last_seen_at = out.instant(
        "2026-03-01T18:22:05.000000Z", "null: it never came online", null=True
    )
    firmware = out.text("2.4.1", null=True)
    battery_pct = out.whole(83, null=True)
    backlog_frames = out.whole(0, "When it last said so", null=True)
    unsynced = out.text(
        "none",
        "`none`: all is uploaded. `waiting`: the device holds more. `unknown`: it may have "
        "recorded since it was last seen, so an empty list does not mean that there was no session",
        one_of=UNSYNCED,
    )
    complete_until = out.instant(
        "2026-03-01T18:22:05.000000Z", "All that it had recorded by then is here", null=True
    )
    clock = out.nested(DeviceClockSchema, null=True)
    hint = out.text(
        None,
        "`no-frames-arrive`: the device is online and said minutes ago that it holds frames, and "
        "none has come since. Check that it publishes to exactly `up/frame`: brokers drop others. "
        "`cut-off`: it holds frames, and each time soon after it had connected it was put out, "
        "with none of them here. Check that no frame is larger than protocol and broker take",
        one_of=HINTS,
        null=True,
        source=out.GIVEN,
    )
    suspension = suspension_field(source=out.GIVEN)
    completeness = out.nested(CompletenessSchema, source=out.GIVEN)
    electrode = out.nested(ElectrodeSchema, source=out.GIVEN)


_completeness_shown = writer(CompletenessSchema)
_health_shown = writer(DeviceHealthSchema)


@blp.get("/v1/devices/<device_id:device_id>/health")
@blp.answers(200, DeviceHealthSchema)
@blp.etag
@blp.problems("not-found")
def get_health(device_id: str) -> Response:
    """Read how a device is doing: last seen, battery, backlog, clock, completeness"""
    now = services().now()
    with transaction() as session:
        account_id = current_account(session).id
        held = held_device(session, account_id, device_id)
        found = health(session, held.presence, now)
        # What it did for an earlier holder is not shown.
        since = max(held.tenure.claimed_at, now - LOOKED_BACK)
        complete = completeness(session, account_id, device_id, since)
        hint = _hint(session, held.presence, now)
        (electrode,) = electrodes_shown(session, account_id, [held])
    return tagged(
        _health_shown(
            found,
            hint=hint,
            suspension=held.suspension and held.suspension._asdict(),
            completeness=_completeness_shown(complete, since=since),
            electrode=electrode,
        )
    )


def _hint(session: Session, seen: LastPresence | None, now: datetime) -> str | None:
    if is_cut_off(session, seen):
        return "cut-off"
    return "no-frames-arrive" if is_silent(session, seen, now) else None
