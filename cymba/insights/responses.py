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
from cymba.insights.analysis import inputs_hash
from cymba.insights.days import EntryFact, Floats, local_day
from cymba.insights.exposures import SessionFact
from cymba.insights.inputs import entry_facts, session_facts
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.insights.statistics import Response, response
from cymba.insights.statistics.response import CURRENT_DAYS, MIN_BASELINE_DAYS

FIRST_WEEKS = 28  # days, where too few were rated before the first session
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
    """An outcome's baseline and present; `whole` is all from the first rating to today."""

    outcome: Outcome
    kind: Baseline
    baseline: Period
    current: Period
    whole: Period
    response: Response

    @property
    def input_hash(self) -> str:
        began = np.array([self.whole.first_day.toordinal(), self.baseline.values.size])
        return inputs_hash(0, began, self.whole.values)


def load_responses(session: Session, account_id: UUID, *, now: datetime) -> list[Comparison]:
    """Each symptom that the person rates and where higher is worse, as of their local day."""
    zone = session.scalars(select(Account.time_zone).where(Account.id == account_id)).one()
    return compare_all(
        session_facts(session, account_id),
        entry_facts(session, account_id),
        today=local_day(now.astimezone(ZoneInfo(zone))),
    )


def compare_all(
    sessions: Sequence[SessionFact], entries: Sequence[EntryFact], *, today: date
) -> list[Comparison]:
    """A share of the baseline means something of a scale from "none" up, so no other is compared;
    of side effects `cymba.insights.side_effects` tells."""
    first_use = min((local_day(fact.local_start) for fact in sessions), default=None)
    compared = []
    for outcome in OUTCOMES.values():
        if outcome.worse == "higher" and not outcome.is_side_effect:
            found = compare(outcome, entries, first_use=first_use, today=today)
            if found is not None:
                compared.append(found)
    return compared


def compare(
    outcome: Outcome, entries: Sequence[EntryFact], *, first_use: date | None, today: date
) -> Comparison | None:
    """Baseline and present of one outcome; None if it was never rated up to `today`.

    The baseline is what was rated before the first session, where that is enough of it, and else
    the first four weeks. The two periods never share a day.
    """
    rated = _daily_means(outcome, entries, today)
    if not rated:
        return None
    first = min(rated)
    kind: Baseline = "first_weeks"
    until = min(first + timedelta(days=FIRST_WEEKS), today + timedelta(days=1))
    if first_use is not None and sum(day < first_use for day in rated) >= MIN_BASELINE_DAYS:
        kind, until = "before_first_session", first_use
    since = max(today - timedelta(days=CURRENT_DAYS - 1), until)
    baseline = _period(rated, first, until)
    current = _period(rated, since, today + timedelta(days=1))
    return Comparison(
        outcome=outcome,
        kind=kind,
        baseline=baseline,
        current=current,
        whole=_period(rated, first, today + timedelta(days=1)),
        response=response(baseline.values, current.values),
    )


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
