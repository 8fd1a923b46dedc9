"""A device as the API shows it to its holder."""

from typing import Any

import marshmallow as ma

from cymba.devices.held_devices import HeldDevice
from cymba.devices.models import MODELS
from cymba.devices.tables import DevicePresence
from service.http.fields import Schema
from service.shapes.programmes import before_trial_field

PRESENCE_EXAMPLE = {
    "online": True,
    "last_seen_at": "2026-03-01T18:22:05Z",
    "changed_at": "2026-03-01T18:01:00Z",
    "firmware": "2.4.1",
    "battery_pct": 83,
    "backlog_frames": 0,
}


DEVICE_EXAMPLE = {
    "id": "ey5f0c4e0b7c1d2a39",
    "serial": "EY4T7KQ2M9XD",
    "model": "ear_cymba",
    "model_title": "Ear, cymba conchae",
    "name": "Left ear",
    "claimed_at": "2026-03-01T09:40:00Z",
    "presence": PRESENCE_EXAMPLE,
    "suspension": None,
    "before_trial": None,
}


SUSPENSION_REASONS = ("flood",)


class PresenceSchema(Schema):
    """What the device last said of itself."""

    online = ma.fields.Boolean(required=True)
    last_seen_at = ma.fields.DateTime(required=True)
    changed_at = ma.fields.DateTime(required=True)
    firmware = ma.fields.String(required=True, allow_none=True)
    battery_pct = ma.fields.Integer(required=True, allow_none=True)
    backlog_frames = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Frames that the device still keeps: not uploaded yet"},
    )


class SuspensionSchema(Schema):
    """That the device is kept out of the broker for a while; what it records stays in it."""

    reason = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(SUSPENSION_REASONS),
        metadata={
            "description": "`flood`: it sent far more than it was told to, thousands in 10 s"
        },
    )
    suspended_at = ma.fields.DateTime(required=True)
    until = ma.fields.DateTime(
        required=True, metadata={"description": "Soon after which it is let in again by itself"}
    )


def suspension_field() -> ma.fields.Nested:
    return ma.fields.Nested(
        SuspensionSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null of a device that may come in"},
    )


class DeviceSchema(Schema):
    id = ma.fields.String(required=True)
    serial = ma.fields.String(required=True)
    model = ma.fields.String(required=True)
    model_title = ma.fields.String(required=True)
    name = ma.fields.String(required=True)
    claimed_at = ma.fields.DateTime(required=True)
    presence = ma.fields.Nested(
        PresenceSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null of a device that never came online"},
    )
    suspension = suspension_field()
    before_trial = before_trial_field()


def device_shown(held: HeldDevice, before_trial: dict[str, Any] | None) -> dict[str, Any]:
    """`before_trial`: of `before_trials`."""
    model = MODELS.get(held.device.model)
    return {
        "id": held.device.id,
        "serial": held.device.serial,
        "model": held.device.model,
        "model_title": model.title if model else held.device.model,
        "name": held.tenure.name,
        "claimed_at": held.tenure.claimed_at,
        "presence": _presence(held.presence) if held.presence else None,
        "suspension": held.suspension and held.suspension._asdict(),
        "before_trial": before_trial,
    }


def _presence(presence: DevicePresence) -> dict[str, Any]:
    return {
        "online": presence.online,
        "last_seen_at": presence.seen_at,
        "changed_at": presence.changed_at,
        "firmware": presence.firmware,
        "battery_pct": presence.battery_pct,
        "backlog_frames": presence.queued_frames,
    }
