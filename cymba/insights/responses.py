"""How far each symptom has come: which days are the baseline, and which the present."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import fmean
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.insights.days import EntryFact, Floats, local_day
from cymba.insights.exposures import SessionFact
from cymba.insights.inputs import entry_facts, session_facts
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.insights.pair_inputs import inputs_hash
from cymba.insights.statistics import Response, response, response_in_points
from cymba.insights.statistics.response import CURRENT_DAYS, LOOK_LEVEL, MIN_BASELINE_DAYS

FIRST_WEEKS = 28  # days, where too few were rated before the first session
FIRST_LOOK_DAYS = 14  # after the baseline: day 42, where that is the first four weeks
LOOK_EVERY_DAYS = 28
POINTS = "{score}"  # the unit of what is rated
Baseline = Literal["before_first_session", "first_weeks"]


@dataclass(frozen=True, slots=True)
class Period:
    """values: (D,) mean rating by local day from `first_day`, NaN unrated."""

    first_day: date
    values: Floats

    @property
    def last_day(self) -> date:
        return self.first_day + timedelta(days=max(self.values.size, 1) - 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """An outcome's baseline and present; `whole` is all from the baseline to today.

    There is a look every four weeks, so that reading it daily finds nothing by chance. Between
    looks the present stays as it was, computed again from the same ratings.
    """

    outcome: Outcome
    kind: Baseline
    baseline: Period
    current: Period
    whole: Period
    response: Response

    @property
    def input_hash(self) -> str:
        began = np.array([self.whole.first_day.toordinal(), self.current.first_day.toordinal()])
        return inputs_hash(0, began, self.baseline.values, self.current.values)

    @property
    def shown_hash(self) -> str:
        """Of all that a picture shows."""
        of_look = np.frombuffer(self.input_hash.encode(), dtype=np.uint8)
        return inputs_hash(0, of_look, self.whole.values)


def load_responses(session: Session, account_id: UUID, *, now: datetime) -> list[Comparison]:
    """Each symptom that the person rates, as of their local day."""
    zone = session.scalars(select(Account.time_zone).where(Account.id == account_id)).one()
    return compare_all(
        session_facts(session, account_id),
        entry_facts(session, account_id),
        today=local_day(now.astimezone(ZoneInfo(zone))),
    )


def compare_all(
    sessions: Sequence[SessionFact], entries: Sequence[EntryFact], *, today: date
) -> list[Comparison]:
    """All that is rated in points; side effects are in `cymba.insights.side_effects`."""
    first_use = min((local_day(fact.local_start) for fact in sessions), default=None)
    compared = []
    for outcome in OUTCOMES.values():
        if outcome.unit == POINTS:
            found = compare(outcome, entries, first_use=first_use, today=today)
            if found is not None:
                compared.append(found)
    return compared


def compare(
    outcome: Outcome, entries: Sequence[EntryFact], *, first_use: date | None, today: date
) -> Comparison | None:
    """Baseline and present of one outcome; None if it was never rated up to `today`.

    The baseline begins with the first four weeks that have enough ratings: a single old rating is
    no beginning. It ends with the first session, where that leaves enough, and else with those four
    weeks. The present is the four weeks up to the last look, and never shares a day with it.
    """
    rated = _daily_means(outcome, entries, today)
    if not rated:
        return None
    first = _first_of_enough(sorted(rated))
    kind: Baseline = "first_weeks"
    until = min(first + timedelta(days=FIRST_WEEKS), today + timedelta(days=1))
    before_use = [day for day in rated if first_use is not None and first <= day < first_use]
    if first_use is not None and len(before_use) >= MIN_BASELINE_DAYS:
        kind, until = "before_first_session", first_use
    last = _last_look(until, today)
    since = max(last - timedelta(days=CURRENT_DAYS - 1), until)
    # A share of the baseline means something of a scale from "none" up alone.
    compared = response if outcome.worse == "higher" else response_in_points
    baseline = _period(rated, first, until)
    current = _period(rated, since, last + timedelta(days=1))
    return Comparison(
        outcome=outcome,
        kind=kind,
        baseline=baseline,
        current=current,
        whole=_period(rated, first, today + timedelta(days=1)),
        response=compared(baseline.values, current.values, level=LOOK_LEVEL),
    )


def _first_of_enough(rated: Sequence[date]) -> date:
    """The first rated day whose four weeks hold enough ratings; the last such day's if none do."""
    for first, enough in zip(rated, rated[MIN_BASELINE_DAYS - 1 :], strict=False):
        if enough < first + timedelta(days=FIRST_WEEKS):
            return first
    return next(day for day in rated if rated[-1] < day + timedelta(days=FIRST_WEEKS))


def _last_look(baseline_ends: date, today: date) -> date:
    """The day of the last look: the first two weeks after the baseline, then every four weeks.

    Before the first look it is today: there is nothing to show yet.
    """
    first = baseline_ends + timedelta(days=FIRST_LOOK_DAYS - 1)
    if today < first:
        return today
    return first + timedelta(days=(today - first).days // LOOK_EVERY_DAYS * LOOK_EVERY_DAYS)


def _daily_means(outcome: Outcome, entries: Sequence[EntryFact], today: date) -> dict[date, float]:
    by_day: defaultdict[date, list[float]] = defaultdict(list)
    for entry in entries:
        value = outcome.value(entry.items)
        if value is not None and local_day(entry.local) <= today:
            by_day[local_day(entry.local)].append(value)
    return {day: fmean(values) for day, values in by_day.items()}


def _period(rated: dict[date, float], first: date, end: date) -> Period:
    """The days from `first` until before `end`."""
    days = (first + timedelta(days=i) for i in range((end - first).days))
    return Period(first, np.array([rated.get(day, np.nan) for day in days]))
