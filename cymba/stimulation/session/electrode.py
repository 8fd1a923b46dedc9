"""How worn an electrode is, by the impedance at the start of sessions since it was changed.

Impedance falls within a session as skin and electrode settle, so starts are compared with starts.
Several sessions decide, never one: that may have had a dry electrode. All figures are our own
choice, and none is a maker's.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import psycopg
from sqlalchemy import text

from cymba.database import Prepared
from cymba.parts import of_part, parts

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


def electrode_wears(
    line: psycopg.Connection[Any], account_id: UUID, claimed_at: Mapping[str, datetime]
) -> dict[str, ElectrodeWear]:
    """By device, of those that come with the time of their claim: of the present electrode, which
    it has since the person changed it or, if they never said so, since they claimed the device."""
    devices = list(claimed_at)
    changed: dict[str, datetime] = dict(_CHANGED.rows(line, account_id=account_id, devices=devices))
    starts: dict[str, list[tuple[datetime, float]]] = {device_id: [] for device_id in claimed_at}
    has_sessions = set()
    for part in parts(line, devices) if devices else ():
        rows = _STARTS.rows(
            line,
            account_id=account_id,
            devices=devices,
            since=[changed.get(device_id, at) for device_id, at in claimed_at.items()],
            most=MOST_SESSIONS,
            part=part,
        )
        for device_id, started_at, ohm in reversed(rows):
            has_sessions.add(device_id)
            if ohm is not None:
                starts[device_id].append((started_at, ohm))
    return {
        device_id: wear(
            found,
            changed_at=changed.get(device_id),
            has_none=device_id in has_sessions and not found,
        )
        for device_id, found in starts.items()
    }


_CHANGED = Prepared(
    text(
        """
        SELECT k.device_id, changed.at FROM unnest(CAST(:devices AS text[])) AS k (device_id)
        CROSS JOIN LATERAL (
          SELECT max(r.said_of) AS at FROM remark AS r
          WHERE r.account_id = :account_id AND r.device_id = k.device_id
            AND r.what = 'electrode_changed' AND r.deleted_at IS NULL) AS changed
        WHERE changed.at IS NOT NULL
        """
    )
)
_STARTS = Prepared(
    text(
        f"""
        SELECT held.device_id, done.started_at, done.start_impedance_ohm
        FROM unnest(CAST(:devices AS text[]), CAST(:since AS timestamptz[]))
          AS held (device_id, since)
        CROSS JOIN LATERAL (
          SELECT s.started_at, s.id, s.start_impedance_ohm FROM stimulation_session AS s
          WHERE s.account_id = :account_id AND s.device_id = held.device_id
            AND s.hidden_at IS NULL AND s.state = 'ended' AND s.started_at >= held.since
            AND {of_part("s.device_id")}
          ORDER BY s.started_at DESC, s.id LIMIT :most) AS done
        ORDER BY done.started_at DESC, done.id
        """  # noqa: S608 - a constant
    )
)


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
    from scipy.stats import kendalltau, theilslopes  # noqa: PLC0415 - a second to import

    logs = [math.log(ohm) for _, ohm in starts]
    tau = kendalltau(days, logs)
    if not (tau.pvalue < SURE and tau.statistic > 0):
        return None
    return float(theilslopes(logs, days).slope)
