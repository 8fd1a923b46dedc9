"""A device's programme: what is desired of it, what it says of that, and what came before.

Nothing here starts a session. The device enforces its limits; these routes may narrow them.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import marshmallow as ma
import msgspec
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts.changes import Changed, record_changes
from cymba.devices import programme
from cymba.devices.holdings import holding
from cymba.devices.messages import Programme
from cymba.devices.models import (
    ATTENTION_DENSITY_MA_PER_CM2,
    MODELS,
    Limits,
    density_ma_per_cm2,
    narrowed,
)
from cymba.devices.programme import REFUSAL_CODES, Refused, Wanted
from cymba.devices.screening import standing_lock
from cymba.devices.tables import DeviceProgramme, RefusedProgramme
from cymba.errors import DomainError
from service.answers import tagged
from service.auditing import note
from service.bearer import current_account
from service.edge import edge
from service.etags import check_if_match
from service.openapi import FieldErrorSchema, Resource
from service.paging import cursor_field, limit_field, next_cursor_field, open_cursor, seal_cursor
from service.strict import Instant, Number, Schema, Text, Whole
from service.transaction import transaction

blp = Resource("programme", "What a device is to do: desired, reported, and history")

LOCKS = (
    "red-flag",
    "screening-required",
    "screening-outdated",
    "screening-expired",
    "contraindicated",
    "clearance-needed",
)
STATES = ("waiting", "sent", "applied", "refused")


def _range(low: float, high: float) -> ma.validate.Range:
    return ma.validate.Range(min=low, max=high)


class ProgrammeSchema(Schema):
    """Units stand in the names. The current is a ceiling: the person may take less."""

    frequency_hz = Number(
        required=True, validate=ma.validate.Range(min=0, max=10_000, min_inclusive=False)
    )
    pulse_width_us = Whole(required=True, validate=_range(1, 10_000))
    amplitude_ua = Whole(
        required=True,
        validate=_range(0, 60_000),
        metadata={
            "description": "0: found by titration, up to the limit. Never comparable between models"
        },
    )
    on_s = Whole(required=True, validate=_range(1, 14_400))
    off_s = Whole(required=True, validate=_range(0, 14_400))
    duration_s = Whole(required=True, validate=_range(1, 86_400))
    site = Text(
        required=True, validate=ma.validate.OneOf(["cymba_conchae", "tragus", "neck", "other"])
    )
    side = Text(required=True, validate=ma.validate.OneOf(["left", "right", "both"]))
    ramp_ua_per_s = Whole(
        load_default=None,
        allow_none=True,
        validate=_range(1, 60_000),
        metadata={"description": "A current is always ramped: needed of every programme"},
    )
    native_level = Whole(
        load_default=None,
        allow_none=True,
        validate=_range(0, 1_000),
        metadata={"description": "On the model's own scale, where it has one"},
    )
    sensory_threshold_ua = Whole(load_default=None, allow_none=True, validate=_range(1, 60_000))


LimitsSchema = Schema.from_dict(
    {name: Number(validate=ma.validate.Range(min=0)) for name in Limits._fields},
    name="LimitsSchema",
)


class ProgrammeChangeSchema(Schema):
    programme = ma.fields.Nested(ProgrammeSchema, required=True)
    limits = ma.fields.Nested(
        LimitsSchema,
        load_default=dict,
        metadata={"description": "Narrower than the model's; those left out are the model's"},
    )
    expires_at = Instant(
        load_default=None,
        allow_none=True,
        metadata={"description": "Ends the programme, not its limits"},
    )


class VersionSchema(Schema):
    """One version, and what the device said of it."""

    version = ma.fields.Integer(required=True)
    programme = ma.fields.Nested(ProgrammeSchema, required=True)
    limits = ma.fields.Nested(LimitsSchema, required=True)
    expires_at = ma.fields.DateTime(required=True, allow_none=True)
    has_expired = ma.fields.Boolean(required=True)
    created_at = ma.fields.DateTime(required=True)
    state = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(STATES),
        metadata={
            "description": "`waiting` for the broker; `sent`: the device has said nothing of it yet"
        },
    )
    reported_at = ma.fields.DateTime(required=True, allow_none=True)
    refusal_code = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "The device's own, if `refused`"}
    )
    refusal = ma.fields.String(
        required=True, allow_none=True, metadata={"description": "That, in words"}
    )


class LockSchema(Schema):
    """Why no programme with a current can be set now: as a problem tells it."""

    code = ma.fields.String(required=True, validate=ma.validate.OneOf(LOCKS))
    detail = ma.fields.String(required=True)
    errors = ma.fields.List(ma.fields.Nested(FieldErrorSchema), required=True)


class ProgrammeStateSchema(Schema):
    version = ma.fields.Integer(
        required=True, metadata={"description": "The newest one's; 0 before the first"}
    )
    desired = ma.fields.Nested(VersionSchema, required=True, allow_none=True)
    held = ma.fields.Nested(
        VersionSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The last version that the device said it applied"},
    )
    in_step = ma.fields.Boolean(
        required=True, metadata={"description": "The device holds what is desired of it"}
    )
    is_earlier_holders = ma.fields.Boolean(
        required=True,
        metadata={"description": "The device has an earlier holder's, which is not told"},
    )
    limits = ma.fields.Nested(
        LimitsSchema, required=True, metadata={"description": "Those that hold with `desired`"}
    )
    model_limits = ma.fields.Nested(
        LimitsSchema, required=True, metadata={"description": "The widest that there can be"}
    )
    rms_density_ma_per_cm2 = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Under the electrode, at the current of `desired`, or where that is "
            "left to titration at the highest that `limits` allow"
        },
    )
    density_needs_attention = ma.fields.Boolean(
        required=True,
        metadata={
            "description": f"That is above {ATTENTION_DENSITY_MA_PER_CM2:g} mA/cm²: to be shown "
            "(IEC 60601-2-10 wants the operator's attention), not refused"
        },
    )
    lock = ma.fields.Nested(LockSchema, required=True, allow_none=True)


class PageQuerySchema(Schema):
    cursor = cursor_field()
    limit = limit_field()


class VersionsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(VersionSchema), required=True)
    next_cursor = next_cursor_field()


class RefusedSchema(Schema):
    """A programme that was asked for and never sent."""

    programme = ma.fields.Nested(ProgrammeSchema, required=True)
    limits = ma.fields.Nested(LimitsSchema, required=True)
    code = ma.fields.String(required=True)
    detail = ma.fields.String(required=True)
    refused_at = ma.fields.DateTime(required=True)


class RefusedPageSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(RefusedSchema), required=True)
    next_cursor = next_cursor_field()


PROGRAMME_EXAMPLE = {
    "frequency_hz": 25.0,
    "pulse_width_us": 250,
    "amplitude_ua": 1500,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
    "ramp_ua_per_s": 500,
    "native_level": None,
    "sensory_threshold_ua": 900,
}
CHANGE_EXAMPLE = {
    "programme": PROGRAMME_EXAMPLE,
    "limits": {"amplitude_ua": 4000, "daily_s": 7200},
    "expires_at": "2026-09-01T00:00:00Z",
}
VERSION_EXAMPLE = {
    "version": 7,
    **CHANGE_EXAMPLE,
    "has_expired": False,
    "created_at": "2026-03-01T09:00:00Z",
    "state": "applied",
    "reported_at": "2026-03-01T09:00:04Z",
    "refusal_code": None,
    "refusal": None,
}
_MODEL_LIMITS = MODELS["ear_cymba"].hard._asdict()
STATE_EXAMPLE = {
    "version": 7,
    "desired": VERSION_EXAMPLE,
    "held": VERSION_EXAMPLE,
    "in_step": True,
    "is_earlier_holders": False,
    "limits": _MODEL_LIMITS | {"amplitude_ua": 4000, "daily_s": 7200},
    "model_limits": _MODEL_LIMITS,
    "rms_density_ma_per_cm2": 0.335,
    "density_needs_attention": False,
    "lock": None,
}
REFUSED_EXAMPLE = {
    "programme": PROGRAMME_EXAMPLE | {"amplitude_ua": 9000},
    "limits": {},
    "code": "beyond-limits",
    "detail": "the programme goes beyond the device's limits: /programme/amplitude_ua: 9000 is …",
    "refused_at": "2026-03-01T08:59:00Z",
}


@blp.get("/v1/devices/<device_id:device_id>/programme")
@blp.answers(200, ProgrammeStateSchema, example=STATE_EXAMPLE)
@blp.etag
@blp.problems("not-found")
def get_programme(device_id: str) -> Response:
    """Read what is desired of a device, and what it holds

    The ETag is needed to set the next version, also the first one.
    """
    with transaction() as session:
        shown = _state(session, current_account(session).id, device_id)
    return tagged(shown, version=shown["version"])


@blp.put("/v1/devices/<device_id:device_id>/programme")
@blp.body(ProgrammeChangeSchema, example=CHANGE_EXAMPLE)
@blp.answers(200, ProgrammeStateSchema, example=STATE_EXAMPLE)
@blp.etag
@blp.if_match
@blp.problems("not-found", "limits-widened", "beyond-limits", "expired", *LOCKS)
def set_programme(given: dict[str, Any], device_id: str) -> Response:
    """Make a programme the desired one: the device's next version

    The device takes it when it is connected, checks it against its own limits, and applies or
    refuses it; it never starts by it. Without valid answers to the contraindication questions, and
    after a red-flag symptom, only a limit of no current (`"limits": {"amplitude_ua": 0}`) is taken.
    What is refused here is kept in the list of refused programmes.
    """
    wanted = Wanted(
        msgspec.convert(given["programme"], Programme), given["limits"], given["expires_at"]
    )
    with transaction() as session:
        account_id = current_account(session).id
        version = programme.programme_state(session, account_id, device_id).version
        check_if_match(version)
        outcome = programme.set_programme(
            session,
            edge().programme_key,
            account_id,
            device_id,
            wanted,
            if_version=version,
            now=edge().now(),
        )
        if not isinstance(outcome, Refused):
            shown = _state(session, account_id, device_id)
            note(session, account_id, "programme.set", device=device_id, version=shown["version"])
            record_changes(session, account_id, [Changed("device", device_id)])
    if isinstance(outcome, Refused):
        raise outcome.error
    return tagged(shown, version=shown["version"])


@blp.get("/v1/devices/<device_id:device_id>/programme/history")
@blp.query(PageQuerySchema)
@blp.answers(200, VersionsSchema, example={"items": [VERSION_EXAMPLE], "next_cursor": None})
@blp.etag
@blp.problems("not-found")
def list_programme_versions(query: dict[str, Any], device_id: str) -> Response:
    """List the versions that this holder has set, the newest first"""
    with transaction() as session:
        account_id = current_account(session).id
        scope, before = _place(query, "programmes", account_id, device_id)
        rows = programme.programme_history(
            session, account_id, device_id, before=before, limit=query["limit"] + 1
        )
        items = [version_shown(row, edge().now()) for row in rows[: query["limit"]]]
    more = len(rows) > len(items)
    next_cursor = seal_cursor(scope, (items[-1]["version"],)) if more else None
    return tagged({"items": items, "next_cursor": next_cursor})


@blp.get("/v1/devices/<device_id:device_id>/programme/refused")
@blp.query(PageQuerySchema)
@blp.answers(200, RefusedPageSchema, example={"items": [REFUSED_EXAMPLE], "next_cursor": None})
@blp.etag
@blp.problems("not-found")
def list_refused_programmes(query: dict[str, Any], device_id: str) -> Response:
    """List the programmes that were asked for and not sent, the newest first"""
    with transaction() as session:
        account_id = current_account(session).id
        scope, before = _place(query, "refused", account_id, device_id)
        rows = programme.refused_programmes(
            session, account_id, device_id, before=before, limit=query["limit"] + 1
        )
        shown = rows[: query["limit"]]
        items = [_refused_shown(row) for row in shown]
    more = len(rows) > len(items)
    next_cursor = seal_cursor(scope, (shown[-1].id,)) if more else None
    return tagged({"items": items, "next_cursor": next_cursor})


def withhold_current(session: Session, account_id: UUID) -> list[Changed]:
    """Take the current from the account's devices if a red flag stands; what changed by that."""
    withheld = programme.withhold_current(session, edge().programme_key, account_id, edge().now())
    return [Changed("device", device_id) for device_id in withheld]


def withhold_if_flagged(account_id: UUID) -> None:
    """The same in a transaction of its own, which comes after another's change feed."""
    with transaction() as session:
        changed = withhold_current(session, account_id)
        if changed:
            record_changes(session, account_id, changed)


def lock_shown(lock: DomainError | None) -> dict[str, Any] | None:
    if lock is None:
        return None
    return {"code": lock.code, "detail": lock.detail, "errors": lock.errors}


def version_shown(row: DeviceProgramme, now: datetime) -> dict[str, Any]:
    refusal = None
    if row.applied is False:
        refusal = row.detail or REFUSAL_CODES.get(row.code or "", "the device gives no reason")
    if row.applied is not None:
        state = "applied" if row.applied else "refused"
    else:
        state = "sent" if row.published_at is not None else "waiting"
    return {
        "version": row.ver,
        "programme": row.programme,
        "limits": row.limits,
        "expires_at": row.expires_at,
        "has_expired": row.expires_at is not None and row.expires_at <= now,
        "created_at": row.created_at,
        "state": state,
        "reported_at": row.reported_at,
        "refusal_code": row.code if refusal else None,
        "refusal": refusal,
    }


def _state(session: Session, account_id: UUID, device_id: str) -> dict[str, Any]:
    now = edge().now()
    state = programme.programme_state(session, account_id, device_id)
    model = MODELS[holding(session, account_id, device_id).device.model]
    limits = narrowed(model, state.desired.limits if state.desired else {})
    density = None
    if state.desired is not None:
        desired = msgspec.convert(state.desired.programme, Programme)
        density = density_ma_per_cm2(model, desired, limits)
    return {
        "version": state.version,
        "desired": state.desired and version_shown(state.desired, now),
        "held": state.held and version_shown(state.held, now),
        "in_step": state.in_step,
        "is_earlier_holders": state.is_earlier_holders,
        "limits": limits._asdict(),
        "model_limits": model.hard._asdict(),
        "rms_density_ma_per_cm2": density,
        "density_needs_attention": (density or 0) > ATTENTION_DENSITY_MA_PER_CM2,
        "lock": lock_shown(standing_lock(session, account_id, model, now)),
    }


def _refused_shown(row: RefusedProgramme) -> dict[str, Any]:
    return {
        "programme": row.programme,
        "limits": row.limits,
        "code": row.code,
        "detail": row.detail,
        "refused_at": row.refused_at,
    }


def _place(
    query: dict[str, Any], kind: str, account_id: UUID, device_id: str
) -> tuple[str, int | None]:
    """A cursor's scope, and the key in the one that was given."""
    scope = f"{kind}|{account_id}|{device_id}"
    if "cursor" not in query:
        return scope, None
    return scope, open_cursor(scope, query["cursor"], tuple[int])[0]
