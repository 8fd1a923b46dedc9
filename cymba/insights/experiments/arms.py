"""The two arms of a trial: the programme that the device has, and the same held down."""

from collections.abc import Sequence
from statistics import median
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.devices.messages import Programme
from cymba.devices.models import Limits, Model, narrowed
from cymba.devices.programme import Wanted
from cymba.errors import Rejected
from cymba.insights.experiments import plans
from cymba.stimulation.tables import StimulationSession
from cymba.voice import said

LEAST_CONTRAST = 0.5  # of the current of full blocks, that comparison blocks lack
RECENT_SESSIONS = 10  # whose median current is what the person takes


def arms(
    model: Model,
    full: Wanted | None,
    comparison_amplitude_ua: int,
    *,
    taken_ua: Sequence[int],
) -> dict[plans.Arm, dict[str, Any]]:
    """What the device is set to in either arm; `taken_ua`: what the person takes of late.

    Raises:
        Rejected: there is no programme to keep, it has an end date, or the doses of the arms could
            not differ by `LEAST_CONTRAST`.
    """
    if full is None:
        raise Rejected(
            "The device has no programme yet for the trial to keep.", code="no-programme"
        )
    if full.expires_at is not None:
        raise Rejected(
            "The programme has an end date, and a trial would carry it on without one. Set it "
            "without an end date first if that is what you want.",
            code="programme-ends",
        )
    programme, limits = full.programme, dict(full.limits)
    if programme.amplitude_ua is None:
        raise _refused(
            said("{title} has no current that a trial could hold down", title=model.titles)
        )
    _check_contrast(model, full, comparison_amplitude_ua, taken_ua)
    held_down = msgspec.structs.replace(
        programme, amplitude_ua=min(programme.amplitude_ua, comparison_amplitude_ua)
    )
    if held_down.amplitude_ua != programme.amplitude_ua:
        held_down = msgspec.structs.replace(held_down, native_level=None)  # of the higher current
    return {
        "full": {"programme": msgspec.to_builtins(programme), "limits": limits},
        "comparison": {
            "programme": msgspec.to_builtins(held_down),
            "limits": limits | {"amplitude_ua": comparison_amplitude_ua},
        },
    }


def ceiling_ua(limits: Limits, programme: Programme) -> float:
    """The most current that a session may have: with an amplitude of 0 the limit alone holds."""
    most_ua = limits.amplitude_ua or 0
    return min(programme.amplitude_ua or most_ua, most_ua)


def recent_currents_ua(session: Session, account_id: UUID, device_id: str) -> list[int]:
    """The highest current of each of the device's last sessions that has one."""
    row = StimulationSession
    query = (
        select(row.max_amplitude_ua)
        .where(
            row.account_id == account_id,
            row.device_id == device_id,
            row.deleted_at.is_(None),
            row.excluded.is_(False),
            row.state != "open",
            row.max_amplitude_ua > 0,
        )
        .order_by(row.started_at.desc())
        .limit(RECENT_SESSIONS)
    )
    return [ua for ua in session.scalars(query) if ua is not None]


def _check_contrast(
    model: Model, full: Wanted, comparison_ua: int, taken_ua: Sequence[int]
) -> None:
    ceiling = ceiling_ua(narrowed(model, full.limits), full.programme)
    if ceiling == 0:
        raise _refused(said("the device allows no current now: set a programme with one first"))
    if comparison_ua == 0:
        return
    if not taken_ua and full.programme.amplitude_ua == 0:
        raise _refused(
            said(
                "must be 0: the programme leaves the current to you, and no session tells which "
                "you take"
            )
        )
    usual = min(ceiling, median(taken_ua)) if taken_ua else ceiling
    most = int((1 - LEAST_CONTRAST) * usual)
    if comparison_ua > most:
        raise _refused(
            said(
                "must be at most {most}, half of the {usual} of full blocks", most=most, usual=usual
            )
        )


def _refused(detail: str) -> Rejected:
    return Rejected(
        "The two programmes of the trial would not differ enough to tell them apart.",
        code="no-contrast",
        errors=[{"pointer": "/comparison_amplitude_ua", "detail": detail}],
    )
