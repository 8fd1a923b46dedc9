"""What is desired of a device and what it holds, as the API shows it."""

from datetime import datetime
from typing import Any

import msgspec

from cymba.devices.messages import Programme
from cymba.devices.models import (
    ATTENTION_DENSITY_MA_PER_CM2,
    Model,
    density_ma_per_cm2,
    named,
    narrowed,
)
from cymba.devices.programme import NO_REASON, REFUSAL_CODES, ProgrammeState
from cymba.devices.programme_versions import ProgrammeVersion
from service.http.language import spoken
from service.http.writing import writer
from service.shapes.programmes import DeviceProgrammeSchema, ProgrammeVersionSchema

_version_shown = writer(ProgrammeVersionSchema)
_programme_shown = writer(DeviceProgrammeSchema)


def version_shown(row: ProgrammeVersion, now: datetime) -> dict[str, Any]:
    refusal = None
    if row.applied is False:
        reason = REFUSAL_CODES.get(row.code or "", NO_REASON)
        refusal = row.detail or spoken().translate(reason)
    if row.applied is not None:
        state = "applied" if row.applied else "refused"
    else:
        state = "sent" if row.published_at is not None else "waiting"
    return _version_shown(
        row,
        has_expired=row.expires_at is not None and row.expires_at <= now,
        state=state,
        refusal_code=row.code if refusal else None,
        refusal=refusal,
    )


def programme_shown(state: ProgrammeState, model: Model, now: datetime) -> dict[str, Any]:
    """As `DeviceProgrammeSchema`."""
    return _programme_shown(state, **derived(state, model, now))


def derived(state: ProgrammeState, model: Model, now: datetime) -> dict[str, Any]:
    """The members of `DeviceProgrammeSchema` that the state alone does not have."""
    limits = narrowed(model, state.limits)
    density = None
    if state.desired is not None:
        desired = msgspec.convert(state.desired.programme, Programme)
        density = density_ma_per_cm2(model, desired, limits)
    return {
        "desired": state.desired and version_shown(state.desired, now),
        "held": state.held and version_shown(state.held, now),
        "limits": named(limits),
        "model_limits": named(model.hard),
        "rms_density_ma_per_cm2": density,
        "density_needs_attention": (density or 0) > ATTENTION_DENSITY_MA_PER_CM2,
    }
