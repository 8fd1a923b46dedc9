"""What a programme, its versions and its locks look like in the API."""

from typing import Any, get_args

import marshmallow as ma

from cymba.devices.messages import Programme
from cymba.devices.models import ATTENTION_DENSITY_MA_PER_CM2, LIMIT_NAMES, MODELS, named
from cymba.errors import DomainError
from cymba.insights.experiments import before
from service.http import out
from service.http.examples import described, example_of
from service.http.fields import Instant, Number, Schema
from service.http.language import spoken
from service.http.openapi import FieldErrorSchema
from service.http.paging import next_cursor_field
from service.http.problems import errors_in
from service.http.put_back import takes_what_is_shown
from service.http.structs import schema_of
from service.http.writing import writer

LOCKS = (
    "red-flag",
    "screening-required",
    "screening-outdated",
    "screening-expired",
    "contraindicated",
    "clearance-needed",
)
STATES = ("waiting", "sent", "applied", "refused")

_PROGRAMME = Programme(
    frequency_hz=25.0,
    pulse_width_us=250,
    amplitude_ua=1500,
    on_s=30,
    off_s=30,
    duration_s=1800,
    site="cymba_conchae",
    side="left",
    ramp_ua_per_s=500,
    sensory_threshold_ua=900,
)
_ABOUT = {
    "amplitude_ua": "0: found by titration, up to the limit. Never comparable between models",
    "native_level": "On the model's own scale, where it has one",
}
ProgrammeSchema = schema_of(
    Programme,
    "ProgrammeSchema",
    example=_PROGRAMME,
    about=_ABOUT | {"ramp_ua_per_s": "A current is always ramped: needed of every programme"},
)
ShownProgrammeSchema = schema_of(
    Programme, "ShownProgrammeSchema", example=_PROGRAMME, about=_ABOUT, shown=True
)
"""What a device was or is to be set to. null: not given."""

_NARROWED = {"amplitude_ua": 4000, "daily_s": 7200}
_MODEL_LIMITS = named(MODELS["ear_cymba"].hard)
ProgrammeLimitsSchema = Schema.from_dict(
    {name: Number(validate=ma.validate.Range(min=0)) for name in LIMIT_NAMES},
    name="ProgrammeLimitsSchema",
)


class ProgrammeChangeSchema(Schema):
    programme = ma.fields.Nested(ProgrammeSchema, required=True)
    limits = ma.fields.Nested(
        ProgrammeLimitsSchema,
        load_default=dict,
        metadata=described("Narrower than the model's; those left out are the model's", _NARROWED),
    )
    expires_at = Instant(
        load_default=None,
        allow_none=True,
        about="Ends the programme, not its limits",
        example="2026-09-01T00:00:00.000000Z",
    )


class ProgrammeVersionSchema(Schema):
    """One version, and what the device said of it."""

    version = out.whole(7, source="ver")
    programme = out.nested(ShownProgrammeSchema)
    limits = out.nested(ProgrammeLimitsSchema, example=_NARROWED)
    expires_at = out.instant("2026-09-01T00:00:00.000000Z", null=True)
    has_expired = out.flag(False, source=out.GIVEN)
    created_at = out.instant("2026-03-01T09:00:00.000000Z")
    state = out.text(
        "applied",
        "`waiting` for the broker; `sent`: the device has said nothing of it yet",
        one_of=STATES,
        source=out.GIVEN,
    )
    reported_at = out.instant("2026-03-01T09:00:04.000000Z", null=True)
    refusal_code = out.text(None, "The device's own, if `refused`", null=True, source=out.GIVEN)
    refusal = out.text(None, "That, in words", null=True, source=out.GIVEN)


class ProgrammeLockSchema(Schema):
    """Why no programme with a current can be set now, in the members of a problem."""

    code = out.text("red-flag", one_of=LOCKS)
    detail = out.text("A serious symptom was reported: seek medical care.", source=out.GIVEN)
    errors = out.many(FieldErrorSchema, example=[], source=out.GIVEN)


class BeforeTrialSchema(Schema):
    """That a trial left the device otherwise than it was. Show `sentence` until this is null."""

    experiment_id = out.uuid("c1d2e3f4-a5b6-4789-8abc-def012345678", source="experiment.id")
    state = out.text(
        "offered",
        "`offered`: agree to set it back, or decline. `sent`: a new programme is on its way, and "
        "the device has not said that it took it",
        one_of=get_args(before.State),
    )
    programme = out.nested(ShownProgrammeSchema, "From before the trial", source=out.GIVEN)
    limits = out.nested(
        ProgrammeLimitsSchema,
        "From before the trial",
        source=out.GIVEN,
        example={"amplitude_ua": 4000},
    )
    sentence = out.text(
        "Your device is still set as in the trial: it gives no current. Before the trial it gave "
        "up to 4.0 mA. You can set it back, or leave it as it is.",
        "In the account's language; show it whole",
        source=out.GIVEN,
    )


def before_trial_field() -> out.AnyField:
    return out.nested(
        BeforeTrialSchema,
        "null: no trial has left the device otherwise than it was",
        null=True,
        source=out.GIVEN,
        example=None,
    )


class DeviceProgrammeSchema(Schema):
    """What is desired of a device, and what it holds."""

    version = out.whole(7, "The newest one's; 0 before the first")
    desired = out.nested(ProgrammeVersionSchema, null=True, source=out.GIVEN)
    held = out.nested(
        ProgrammeVersionSchema,
        "The last version that the device said it applied",
        null=True,
        source=out.GIVEN,
    )
    in_step = out.flag(True, "The device holds what is desired of it")
    is_earlier_holders = out.flag(
        False,
        "The device has not yet reported that it dropped an earlier holder's, which is not shown",
    )
    limits = out.nested(
        ProgrammeLimitsSchema,
        "Those that hold with `desired`. A device that another held allows no current before its "
        "first",
        source=out.GIVEN,
        example=_MODEL_LIMITS | _NARROWED,
    )
    model_limits = out.nested(
        ProgrammeLimitsSchema,
        "The widest that there can be",
        source=out.GIVEN,
        example=_MODEL_LIMITS,
    )
    rms_density_ma_per_cm2 = out.number(
        0.335,
        "Under the electrode, at the current of `desired`, or where that is left to titration at "
        "the highest that `limits` allow",
        null=True,
        source=out.GIVEN,
    )
    density_needs_attention = out.flag(
        False,
        f"That is above {ATTENTION_DENSITY_MA_PER_CM2:g} mA/cm²: to be shown "
        "(IEC 60601-2-10 wants the operator's attention), not refused",
        source=out.GIVEN,
    )


class ProgrammeStateSchema(DeviceProgrammeSchema):
    lock = out.nested(ProgrammeLockSchema, null=True, source=out.GIVEN, example=None)
    before_trial = before_trial_field()


class ProgrammeVersionsSchema(Schema):
    items = out.many(ProgrammeVersionSchema)
    next_cursor = next_cursor_field()


class RefusedProgrammeSchema(Schema):
    """A programme that was asked for and never sent."""

    programme = out.nested(
        ShownProgrammeSchema, example=example_of(ShownProgrammeSchema, amplitude_ua=9000)
    )
    limits = out.nested(ProgrammeLimitsSchema, example={})
    code = out.text("beyond-limits")
    title = out.text(
        "The programme goes beyond the device's limits", "What `code` means", source=out.GIVEN
    )
    detail = out.text(
        "The programme goes beyond the device's limits. /programme/amplitude_ua: 9,000 is …",
        "As it was noted, in English",
    )
    refused_at = out.instant("2026-03-01T08:59:00.000000Z")


class RefusedProgrammePageSchema(Schema):
    items = out.many(RefusedProgrammeSchema)
    next_cursor = next_cursor_field()


takes_what_is_shown(ProgrammeChangeSchema, ProgrammeStateSchema, record="desired")

_lock_shown = writer(ProgrammeLockSchema)


def lock_shown(lock: DomainError | None) -> dict[str, Any] | None:
    if lock is None:
        return None
    voice = spoken()
    return _lock_shown(
        lock, detail=voice.translate(lock.detail), errors=errors_in(voice, lock.errors)
    )
