"""The devices that a person holds."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts.changes import was_deleted
from cymba.devices import claiming
from cymba.devices.held_devices import (
    MAX_NAME_CHARACTERS,
    HeldDevice,
    held_device,
    held_devices,
    lock_tenure,
    rename,
)
from cymba.devices.models import MODELS
from cymba.devices.tables import DevicePresence
from cymba.errors import NotFound, TooManyRequests
from service.http.answers import answer, nothing, tagged
from service.http.auditing import note
from service.http.bearer import current_account
from service.http.etags import check_if_match
from service.http.fields import Schema, Text
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.resources.programme import withhold_if_flagged

blp = Resource("devices", "The devices that the person holds")

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
}
SUSPENSION_REASONS = ("flood",)


def _name(**kwargs: Any) -> Text:
    length = ma.validate.Length(max=MAX_NAME_CHARACTERS)
    return Text(validate=length, metadata={"description": "The person's own"}, **kwargs)


class ClaimSchema(Schema):
    serial = Text(required=True, validate=ma.validate.Length(min=1, max=64))
    code = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=64),
        metadata={"description": "As printed; spaces, dashes and case do not count"},
    )
    name = _name(load_default="")


class DeviceChangeSchema(Schema):
    name = _name(required=True)


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


class DevicesSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(DeviceSchema), required=True)


class ClaimCodeSchema(Schema):
    claim_code = ma.fields.String(required=True)


@blp.post("/v1/devices/claim")
@blp.body(
    ClaimSchema, example={"serial": "EY4T7KQ2M9XD", "code": "7KQ2M-9XDT4", "name": "Left ear"}
)
@blp.answers(201, DeviceSchema, example=DEVICE_EXAMPLE)
@blp.etag
@blp.problems("claim-mismatch", "rate")
def claim_device(given: dict[str, Any]) -> Response:
    """Become the holder of a device, with its serial number and claim code

    A code is good for one claim. Sessions belong to whoever held the device at their time. A
    device that another held comes without their programme and limits: it allows no current until
    its new holder sets a programme.
    """
    with transaction() as session:
        account_id = current_account(session).id
        outcome = claiming.claim(
            session,
            account_id,
            given["serial"],
            given["code"],
            services().now(),
            name=given["name"],
            key=services().programme_key,
        )
        if isinstance(outcome, claiming.Claimed):
            note(session, account_id, "device.claimed", device=outcome.tenure.device_id)
            held = held_device(session, account_id, outcome.tenure.device_id)
            shown, version = device_shown(held), held.tenure.version
    match outcome:
        case claiming.Throttled(retry_after_s):
            raise TooManyRequests("Too many wrong codes.", retry_after_s=retry_after_s)
        case claiming.NoMatch():
            raise NotFound("No device has this serial and this code.", code="claim-mismatch")
        case claiming.Claimed():
            withhold_if_flagged(account_id)
            return tagged(shown, status=201, version=version)


@blp.get("/v1/devices")
@blp.answers(200, DevicesSchema, example={"items": [DEVICE_EXAMPLE]})
@blp.etag
def list_devices() -> Response:
    """List the devices"""
    with transaction() as session:
        account = current_account(session)
        shown = [device_shown(held) for held in held_devices(session, account.id)]
    return tagged({"items": shown})


@blp.get("/v1/devices/<device_id:device_id>")
@blp.answers(200, DeviceSchema, example=DEVICE_EXAMPLE)
@blp.etag
def get_device(device_id: str) -> Response:
    """Read one device"""
    with transaction() as session:
        held = held_device(session, current_account(session).id, device_id)
        shown, version = device_shown(held), held.tenure.version
    return tagged(shown, version=version)


@blp.patch("/v1/devices/<device_id:device_id>")
@blp.body(DeviceChangeSchema, example={"name": "Left ear"})
@blp.answers(200, DeviceSchema, example=DEVICE_EXAMPLE)
@blp.etag
@blp.if_match
def update_device(given: dict[str, Any], device_id: str) -> Response:
    """Name a device"""
    with transaction() as session:
        account = current_account(session)
        tenure = lock_tenure(session, account.id, device_id)
        check_if_match(tenure.version)
        held = held_device(session, account.id, device_id)
        rename(session, account.id, tenure, given["name"])
        shown, version = device_shown(held), tenure.version
    return tagged(shown, version=version)


@blp.delete("/v1/devices/<device_id:device_id>")
@blp.answers(204, description="Released, now or before")
@blp.if_match
def release_device(device_id: str) -> Response:
    """Let a device go

    What was recorded until now stays the account's. The programme is taken from the device: it
    allows no current until a holder sets one again. It needs a new code from its maker before
    anybody can claim it; `transfer` makes one beforehand.
    """
    with transaction() as session:
        account = current_account(session)
        if was_deleted(session, account.id, "device", device_id):
            return nothing()
        check_if_match(lock_tenure(session, account.id, device_id).version)
        note(session, account.id, "device.released", device=device_id)
        claiming.release(
            session, account.id, device_id, services().now(), key=services().programme_key
        )
    return nothing()


@blp.post("/v1/devices/<device_id:device_id>/transfer")
@blp.answers(201, ClaimCodeSchema, example={"claim_code": "7KQ2M-9XDT4"})
def transfer_device(device_id: str) -> Response:
    """Make a claim code to hand the device on

    Whoever claims with it becomes the holder; an earlier code stops working.
    """
    with transaction() as session:
        code = claiming.hand_on(session, current_account(session).id, device_id)
    return answer({"claim_code": code}, status=201)


def device_shown(held: HeldDevice) -> dict[str, Any]:
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
