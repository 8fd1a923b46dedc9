"""How worn an electrode is, by the impedance at the start of sessions since it was changed.

Impedance falls within a session as skin and electrode settle, so starts are compared with starts.
Several sessions decide, never one: that may have had a dry electrode. All figures are our own
choice, and none is a maker's.
"""

import math
import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from scipy.stats import kendalltau, theilslopes
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import Remark

State = Literal["good", "replace_soon", "not_known"]
Reason = Literal["doubled", "high", "rising", "too_few_sessions", "no_impedance"]

AT_EITHER_END = 3  # sessions whose median is the impedance then, and now
LEAST_SESSIONS = 2 * AT_EITHER_END
LEAST_OF_A_TREND = 8
LEAST_DAYS_OF_A_TREND = 4.0
WORN_RATIO = 2.0
HIGH_OHM = 10_000
AHEAD_DAYS = 7.0  # a rise that reaches `WORN_RATIO` within them is reported
SURE = 0.05
MOST_SESSIONS = 200
_DAY_S = 86_400


class ElectrodeWear(NamedTuple):
    state: State
    reason: Reason | None  # why it is to be replaced, or why nothing is known
    changed_at: datetime | None  # null: the person never said
    sessions: int  # since then, with an impedance
    first_ohm: float | None  # at the start of the first sessions
    recent_ohm: float | None
    rise_per_week: float | None  # 0.1: a tenth more each week


def electrode_wear(
    session: Session, account_id: UUID, device_id: str, claimed_at: datetime
) -> ElectrodeWear:
    """Of the device's present electrode, which it has since the person changed it or, if they never
    said so, since they claimed the device."""
    remark, row = Remark, StimulationSession
    changed_at = session.scalar(
        select(func.max(remark.said_of)).where(
            remark.account_id == account_id,
            remark.device_id == device_id,
            remark.what == "electrode_changed",
            remark.deleted_at.is_(None),
        )
    )
    found = session.execute(
        select(row.started_at, row.start_impedance_ohm)
        .where(
            row.account_id == account_id,
            row.device_id == device_id,
            row.deleted_at.is_(None),
            row.state == "ended",
            row.started_at >= (changed_at or claimed_at),
        )
        .order_by(row.started_at.desc(), row.id)
        .limit(MOST_SESSIONS)
    ).all()
    starts = [(at, ohm) for at, ohm in reversed(found) if ohm is not None]
    return wear(starts, changed_at=changed_at, has_none=bool(found) and not starts)


def wear(
    starts: Sequence[tuple[datetime, float]],
    *,
    changed_at: datetime | None = None,
    has_none: bool = False,
) -> ElectrodeWear:
    """`starts`: the start of each session in order, and the impedance then."""
    count = len(starts)
    if count < LEAST_SESSIONS:
        reason: Reason = "no_impedance" if has_none else "too_few_sessions"
        return ElectrodeWear("not_known", reason, changed_at, count, None, None, None)
    ohms = [ohm for _, ohm in starts]
    first = statistics.median(ohms[:AT_EITHER_END])
    recent = statistics.median(ohms[-AT_EITHER_END:])
    rise = _rise_a_day(starts)
    why: Reason | None = None
    if recent >= WORN_RATIO * first:
        why = "doubled"
    elif recent >= HIGH_OHM:
        why = "high"
    elif rise is not None and recent * math.exp(rise * AHEAD_DAYS) >= WORN_RATIO * first:
        why = "rising"
    state: State = "replace_soon" if why else "good"
    weekly = None if rise is None else math.expm1(min(rise * 7, 100))
    return ElectrodeWear(state, why, changed_at, count, first, recent, weekly)


def _rise_a_day(starts: Sequence[tuple[datetime, float]]) -> float | None:
    """The slope of the impedance's logarithm (Theil and Sen), where it certainly rises (Mann and
    Kendall): a single odd session changes neither."""
    days = [(at - starts[0][0]).total_seconds() / _DAY_S for at, _ in starts]
    if len(starts) < LEAST_OF_A_TREND or days[-1] < LEAST_DAYS_OF_A_TREND:
        return None
    logs = [math.log(ohm) for _, ohm in starts]
    tau = kendalltau(days, logs)
    if not (tau.pvalue < SURE and tau.statistic > 0):
        return None
    return float(theilslopes(logs, days).slope)
