"""What a programme, its versions and its locks look like in the API."""

from typing import Any, get_args

import marshmallow as ma

from cymba.devices.models import ATTENTION_DENSITY_MA_PER_CM2, MODELS, Limits
from cymba.errors import DomainError
from cymba.insights.experiments import before
from service.http.fields import Instant, Number, Schema, Text, Whole
from service.http.openapi import FieldErrorSchema
from service.http.paging import cursor_field, limit_field, next_cursor_field

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


class ShownProgrammeSchema(ProgrammeSchema):
    """What a device was or is to be set to. Units stand in the names. null: not given."""

    ramp_ua_per_s = Whole(required=True, allow_none=True)
    native_level = Whole(
        required=True,
        allow_none=True,
        metadata={"description": "On the model's own scale, where it has one"},
    )
    sensory_threshold_ua = Whole(required=True, allow_none=True)


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
    programme = ma.fields.Nested(ShownProgrammeSchema, required=True)
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


class BeforeTrialSchema(Schema):
    """That a trial left the device otherwise than it was. Show `sentence` until this is null."""

    experiment_id = ma.fields.UUID(required=True)
    state = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(get_args(before.State)),
        metadata={
            "description": "`offered`: agree to set it back, or decline. `sent`: a new programme "
            "is on its way, and the device has not said that it took it"
        },
    )
    programme = ma.fields.Nested(
        ShownProgrammeSchema, required=True, metadata={"description": "From before the trial"}
    )
    limits = ma.fields.Nested(
        LimitsSchema, required=True, metadata={"description": "From before the trial"}
    )
    sentence = ma.fields.String(
        required=True, metadata={"description": "In the account's language; show it whole"}
    )


def before_trial_field() -> ma.fields.Nested:
    return ma.fields.Nested(
        BeforeTrialSchema,
        required=True,
        allow_none=True,
        metadata={"description": "null: no trial has left the device otherwise than it was"},
    )


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
        metadata={
            "description": "The device has not yet said that it has let go of an earlier holder's, "
            "which is not told"
        },
    )
    limits = ma.fields.Nested(
        LimitsSchema,
        required=True,
        metadata={
            "description": "Those that hold with `desired`. A device that another held allows no "
            "current before its first"
        },
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
    before_trial = before_trial_field()


class PageQuerySchema(Schema):
    cursor = cursor_field()
    limit = limit_field()


class VersionsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(VersionSchema), required=True)
    next_cursor = next_cursor_field()


class RefusedSchema(Schema):
    """A programme that was asked for and never sent."""

    programme = ma.fields.Nested(ShownProgrammeSchema, required=True)
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
BEFORE_TRIAL_EXAMPLE = {
    "experiment_id": "c1d2e3f4-a5b6-4789-8abc-def012345678",
    "state": "offered",
    "programme": PROGRAMME_EXAMPLE,
    "limits": {"amplitude_ua": 4000},
    "sentence": "Your device is still set as in the trial: it gives no current. Before the trial "
    "it gave up to 4.0 mA. You can set it back, or leave it as it is.",
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
    "before_trial": None,
}
REFUSED_EXAMPLE = {
    "programme": PROGRAMME_EXAMPLE | {"amplitude_ua": 9000},
    "limits": {},
    "code": "beyond-limits",
    "detail": "the programme goes beyond the device's limits: /programme/amplitude_ua: 9000 is …",
    "refused_at": "2026-03-01T08:59:00Z",
}


def lock_shown(lock: DomainError | None) -> dict[str, Any] | None:
    if lock is None:
        return None
    return {"code": lock.code, "detail": lock.detail, "errors": lock.errors}
