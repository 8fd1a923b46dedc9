"""The devices that a person holds."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.changes import was_deleted
from cymba.accounts.tokens import Caller
from cymba.devices import claiming
from cymba.devices.held_devices import (
    MAX_NAME_CHARACTERS,
    HeldDevice,
    held_device,
    held_devices,
    lock_tenure,
    rename,
)
from cymba.errors import NotFound, TooManyRequests
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account
from service.http.etags import check_preconditions
from service.http.fields import Schema, Text
from service.http.openapi import Resource
from service.http.proof import proven
from service.http.services import services
from service.http.transaction import transaction
from service.shapes.before_trial import before_trials
from service.shapes.devices import DeviceSchema, devices_shown

blp = Resource("devices", "The devices that the person holds")


def _name(**kwargs: Any) -> Text:
    length = ma.validate.Length(max=MAX_NAME_CHARACTERS)
    return Text(validate=length, about="The person's own", example="Left ear", **kwargs)


class ClaimSchema(Schema):
    serial = Text(required=True, validate=ma.validate.Length(min=1, max=64), example="EY4T7KQ2M9XD")
    code = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=64),
        about="As printed; spaces, dashes and case do not count",
        example="7KQ2M-9XDT4",
    )
    name = _name(load_default="")


class DeviceChangeSchema(Schema):
    name = _name(required=True)


class DevicesSchema(Schema):
    items = out.many(DeviceSchema)


class ClaimCodeSchema(Schema):
    claim_code = out.text("7KQ2M-9XDT4")


def _shown(session: Session, account: Caller, held: Sequence[HeldDevice]) -> list[dict[str, Any]]:
    return devices_shown(session, account.id, held, before_trials(session, account))


@blp.post("/v1/devices/claim")
@blp.repeatable
@blp.body(ClaimSchema)
@blp.answers(201, DeviceSchema)
@blp.answers(200, DeviceSchema, description="Held already, as it is now")
@blp.etag
@blp.problems("claim-mismatch", "rate")
def claim_device(given: dict[str, Any]) -> Response:
    """Become the holder of a device, with its serial number and claim code

    A code is good for one claim; claiming a device again that one holds changes nothing. Sessions
    belong to whoever held the device at their time. A device that somebody else held comes without
    their programme and limits: it allows no current until its new holder sets a programme.
    """
    with transaction() as session:
        account = current_account(session)
        account_id = account.id
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
            held = held_device(session, account_id, outcome.tenure.device_id)
            (shown,), version = _shown(session, account, [held]), held.tenure.version
    match outcome:
        case claiming.ClaimThrottled(retry_after_s):
            raise TooManyRequests("Too many wrong codes.", retry_after_s=retry_after_s)
        case claiming.NoMatch():
            raise NotFound("No device has this serial and this code.", code="claim-mismatch")
        case claiming.Claimed(_, is_new):
            return tagged(shown, status=201 if is_new else 200, version=version)


@blp.get("/v1/devices")
@blp.answers(200, DevicesSchema)
@blp.etag
def list_devices() -> Response:
    """List the devices"""
    with transaction() as session:
        account = current_account(session)
        shown = _shown(session, account, held_devices(session, account.id))
    return tagged({"items": shown})


@blp.get("/v1/devices/<device_id:device_id>")
@blp.answers(200, DeviceSchema)
@blp.etag
def get_device(device_id: str) -> Response:
    """Read one device"""
    with transaction() as session:
        account = current_account(session)
        held = held_device(session, account.id, device_id)
        (shown,), version = _shown(session, account, [held]), held.tenure.version
    return tagged(shown, version=version)


@blp.patch("/v1/devices/<device_id:device_id>")
@blp.body(DeviceChangeSchema)
@blp.answers(200, DeviceSchema)
@blp.etag
@blp.if_match
def update_device(given: dict[str, Any], device_id: str) -> Response:
    """Name a device"""
    with transaction() as session:
        account = current_account(session)
        tenure = lock_tenure(session, account.id, device_id)
        check_preconditions(tenure.version)
        rename(session, account.id, tenure, given["name"])
        held = held_device(session, account.id, device_id)
        (shown,), version = _shown(session, account, [held]), held.tenure.version
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
        check_preconditions(lock_tenure(session, account.id, device_id).version)
        claiming.release(
            session, account.id, device_id, services().now(), key=services().programme_key
        )
    return nothing()


@blp.post("/v1/devices/<device_id:device_id>/transfer")
@blp.repeatable
@blp.answers(201, ClaimCodeSchema)
@blp.problems("reauthentication-required")
def transfer_device(device_id: str) -> Response:
    """Make a claim code to hand the device on

    Whoever claims with it becomes the holder; an earlier code stops working. What the device has
    not uploaded when it is claimed is in nobody's record, since the next holder could have made it:
    wait for `backlog_frames` to be 0.
    """
    with transaction() as session, proven(session) as account:
        code = claiming.hand_on(session, account.id, device_id)
    return answer({"claim_code": code}, status=201)
