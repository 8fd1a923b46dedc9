"""From moments to days: what was done on each local day, and how the person felt around it.

A day runs from 04:00 to 04:00 by the wall clock of the zone stored with each event, so a late
evening belongs to the day it ends, and travel and clock changes need no special case. Nothing is
filled in: a morning without an entry is missing, and so is a day whose device has not synced.
"""

import statistics
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from cymba.insights.exposures import DAY_STARTS_HOUR, Exposure, SessionFact
from cymba.insights.outcomes import Outcome
from cymba.insights.statistics import cycle_terms, pooled_ratings

Floats = NDArray[np.float64]

MORNING_ENDS_HOUR = 12
SETTLE = timedelta(minutes=30)  # after a session, before what is felt counts as felt after it
BEFORE_REACH = timedelta(hours=24)


class EntryFact(NamedTuple):
    """What insights need of one diary entry. `local` is by the zone it was felt in."""

    local: datetime
    felt_at: datetime
    items: dict[str, Any]
    session_id: UUID | None = None  # the session it is about, if the person said so


@dataclass(frozen=True, slots=True)
class Days:
    """Aligned arrays over D consecutive days; NaN is missing. `t` indexes `dates`.

    `mornings[:, t]` is felt on the morning of day t, before its first session and after those of
    the days before; `same_day[:, t]` after day t's last session; `before[:, t]` last before its
    first.
    """

    dates: list[date]
    weekdays: NDArray[np.int64]  # (D,) 0 is Monday
    exposures: Floats  # (E, D)
    mornings: Floats  # (O, D)
    same_day: Floats  # (O, D)
    before: Floats  # (O, D)
    cycle: Floats | None = None  # (2, D) terms of a logged cycle

    def felt(self, lag: int, *, pooled: bool = False) -> tuple[Floats, Floats | None]:
        """(O, D) what an outcome is at this lag, and the hours of it where they vary; `pooled`:
        the evening and the next morning in one."""
        if pooled:
            return pooled_ratings(self.same_day, self.mornings)
        return (self.mornings if lag else self.same_day), None


def local_day(local: datetime) -> date:
    """The day that a wall-clock moment belongs to."""
    day = local.date()
    return day if local.hour >= DAY_STARTS_HOUR else day - timedelta(days=1)


def build_days(
    sessions: Sequence[SessionFact],
    entries: Sequence[EntryFact],
    *,
    exposures: Sequence[Exposure],
    outcomes: Sequence[Outcome],
    have_synced: Callable[[Sequence[date]], Iterable[bool]] | None = None,
    cycle_starts: Sequence[date] = (),
) -> Days:
    """Days from the first event to the last. `have_synced(days)` says of each of these, which
    follow each other, whether a session of it would be here; without it, all would."""
    by_day: defaultdict[date, list[SessionFact]] = defaultdict(list)
    for fact in sorted(sessions, key=lambda fact: fact.started_at):
        by_day[local_day(fact.local_start)].append(fact)
    felt = _ratings(entries, outcomes)
    touched = [*by_day, *(rating.day for rating in felt)]
    if not touched:
        return _empty(len(exposures), len(outcomes))
    first, last = min(touched), max(touched)
    dates = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    moments = _moments(dates, by_day, felt)
    synced = [True] * len(dates) if have_synced is None else have_synced(dates)
    return Days(
        dates=dates,
        weekdays=np.array([day.weekday() for day in dates]),
        exposures=np.array(
            [
                [
                    _exposed(e, by_day.get(day, ()), is_synced)
                    for day, is_synced in zip(dates, synced, strict=True)
                ]
                for e in exposures
            ]
        ).reshape(len(exposures), len(dates)),
        mornings=_outcome_rows(len(outcomes), moments, _mornings(felt, moments)),
        same_day=_outcome_rows(len(outcomes), moments, _same_day(felt, moments)),
        before=_outcome_rows(len(outcomes), moments, _before(felt, moments), last_only=True),
        cycle=cycle_terms([(day - first).days for day in cycle_starts], len(dates))
        if cycle_starts
        else None,
    )


class _Rating(NamedTuple):
    """An entry with the outcomes that it answers, by their rows."""

    local: datetime
    felt_at: datetime
    day: date
    values: list[tuple[int, float]]


def _ratings(entries: Sequence[EntryFact], outcomes: Sequence[Outcome]) -> list[_Rating]:
    """In the order in which they were felt."""
    of_item: defaultdict[str, list[tuple[int, Outcome]]] = defaultdict(list)
    for row, outcome in enumerate(outcomes):
        of_item[outcome.item].append((row, outcome))
    return [
        _Rating(
            fact.local,
            fact.felt_at,
            local_day(fact.local),
            [
                (row, value)
                for item in fact.items
                for row, outcome in of_item.get(item, ())
                if (value := outcome.value(fact.items)) is not None
            ],
        )
        for fact in sorted(entries, key=attrgetter("felt_at"))
    ]


class _Moments(NamedTuple):
    """When a day's stimulation began and ended; on a day without any, when it usually does."""

    day: date
    used: bool
    first_start: datetime | None
    last_end: datetime | None


def _moments(
    dates: Sequence[date], by_day: dict[date, list[SessionFact]], felt: Sequence[_Rating]
) -> list[_Moments]:
    """The usual times are medians over the days *before*, so that a late frame or an edited entry
    changes no day that came earlier; to the half hour, so that it changes few that came later."""
    zone_on = _zones(dates, by_day, felt)
    starts: list[float] = []  # in order, as are the ends
    ends: list[float] = []
    found = []
    for day in dates:
        sessions = by_day.get(day)
        if sessions:
            midnight = datetime.combine(day, time.min)
            start = _hours(sessions[0].local_start, midnight)
            last = max(sessions, key=lambda fact: fact.ended_at)
            insort(starts, start)
            insort(ends, start + (last.ended_at - sessions[0].started_at).total_seconds() / 3600)
            found.append(_Moments(day, True, sessions[0].started_at, last.ended_at))
        elif starts:
            usual = (_usual(starts, day, zone_on[day]), _usual(ends, day, zone_on[day]))
            found.append(_Moments(day, False, *usual))
        else:
            found.append(_Moments(day, False, None, None))
    return found


def _zones(
    dates: Sequence[date], by_day: dict[date, list[SessionFact]], felt: Sequence[_Rating]
) -> dict[date, Any]:
    """The zone the person was in on each day: that of its last event, else of the day before."""
    known = {rating.day: rating.local.tzinfo for rating in felt}
    known |= {day: facts[-1].local_start.tzinfo for day, facts in by_day.items()}
    zone: Any = next((known[day] for day in dates if day in known), ZoneInfo("UTC"))
    zones = {}
    for day in dates:
        zone = zones[day] = known.get(day, zone)
    return zones


def _hours(local: datetime, midnight: datetime) -> float:
    return (local.replace(tzinfo=None) - midnight).total_seconds() / 3600


def _usual(hours: Sequence[float], day: date, zone: Any) -> datetime:
    """By the median of `hours`, which are in order."""
    half_hours = round(hours[(len(hours) - 1) // 2] + hours[len(hours) // 2])
    wall = datetime.combine(day, time.min, tzinfo=zone) + timedelta(minutes=30 * half_hours)
    return wall.astimezone(UTC)


def _exposed(exposure: Exposure, sessions: Sequence[SessionFact], synced: bool) -> float:
    if sessions:
        return exposure.of_day(sessions)
    return 0.0 if synced and exposure.is_amount else float("nan")


_Slots = dict[date, list[_Rating]]


def _mornings(felt: Sequence[_Rating], moments: Sequence[_Moments]) -> _Slots:
    """Felt before the day's first session and after the sessions of all days before: whoever flies
    back over the date line lives the evening of the day before after this morning."""
    first_start = {m.day: m.first_start for m in moments if m.used}
    ended: dict[date, datetime] = {}
    latest = datetime.min.replace(tzinfo=UTC)
    for m in moments:
        ended[m.day] = latest
        latest = max(latest, m.last_end) if m.used and m.last_end is not None else latest
    slots: defaultdict[date, list[_Rating]] = defaultdict(list)
    for rating in felt:
        if DAY_STARTS_HOUR <= rating.local.hour < MORNING_ENDS_HOUR:
            start = first_start.get(rating.day)
            if rating.felt_at >= ended[rating.day] and (start is None or rating.felt_at < start):
                slots[rating.day].append(rating)
    return slots


def _same_day(felt: Sequence[_Rating], moments: Sequence[_Moments]) -> _Slots:
    last_end = {m.day: m.last_end for m in moments}
    slots: defaultdict[date, list[_Rating]] = defaultdict(list)
    for rating in felt:
        end = last_end.get(rating.day)
        if end is not None and rating.felt_at >= end + SETTLE:
            slots[rating.day].append(rating)
    return slots


def _before(felt: Sequence[_Rating], moments: Sequence[_Moments]) -> _Slots:
    times = [rating.felt_at for rating in felt]
    return {
        m.day: list(
            felt[
                bisect_left(times, m.first_start - BEFORE_REACH) : bisect_left(times, m.first_start)
            ]
        )
        for m in moments
        if m.first_start is not None
    }


def _outcome_rows(
    outcomes: int, moments: Sequence[_Moments], slots: _Slots, *, last_only: bool = False
) -> Floats:
    """(O, D): each day's mean, or last value, over the entries in its slot that answer it."""
    rows = np.full((outcomes, len(moments)), np.nan)
    for t, m in enumerate(moments):
        ratings = slots.get(m.day, ())
        if last_only:
            last = {row: value for rating in ratings for row, value in rating.values}
            for row, value in last.items():
                rows[row, t] = value
            continue
        values_of: dict[int, list[float]] = {}
        for rating in ratings:
            for row, value in rating.values:
                values_of.setdefault(row, []).append(value)
        for row, values in values_of.items():
            rows[row, t] = values[0] if len(values) == 1 else statistics.fmean(values)
    return rows


def _empty(exposures: int, outcomes: int) -> Days:
    def rows(count: int) -> Floats:
        return np.empty((count, 0))

    return Days(
        [], np.empty(0, np.int64), rows(exposures), rows(outcomes), rows(outcomes), rows(outcomes)
    )
