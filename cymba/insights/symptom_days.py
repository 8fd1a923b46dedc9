"""A symptom beside the sessions, by day and around the hours of use, as its pictures show it."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.diary.items import ITEMS
from cymba.errors import NotFound
from cymba.insights.days import Days, Floats
from cymba.insights.inputs import load_days
from cymba.insights.outcomes import OUTCOMES, Outcome
from cymba.insights.pair_inputs import inputs_hash
from cymba.insights.symptoms import read_done_and_felt, symptoms_rated
from cymba.stimulation.session.history import periods


@dataclass(frozen=True, slots=True)
class SymptomDays:
    """By calendar day from `first_day`: (D,) the mean rating, NaN unrated, and (D,) the sessions,
    NaN where it is not known whether there were any. Both as `/v1/history` shows them."""

    outcome: Outcome
    first_day: date
    felt: Floats
    sessions: Floats

    @property
    def shown_hash(self) -> str:
        return _hash(self.outcome, self.first_day, self.felt, self.sessions)


@dataclass(frozen=True, slots=True)
class AroundUse:
    """(2, N) the last rating before the day's first session and the mean after its last, of days
    that have both; `without`: (2, M) the same at the usual hours of days without a session."""

    outcome: Outcome
    first_day: date
    used: Floats
    without: Floats

    @property
    def shown_hash(self) -> str:
        return _hash(self.outcome, self.first_day, self.used, self.without)


def load_symptom_days(
    session: Session, account_id: UUID, symptom: str, first_day: date, last_day: date
) -> SymptomDays:
    """
    Raises:
        NotFound: there is no such symptom.
    """
    outcome = _symptom(symptom)
    read, felt = read_done_and_felt(line_of(session), account_id, ["day"], first_day, last_day)
    done = periods(read, "day", first_day, last_day)
    rated = symptoms_rated(felt, [(day.first_day, day.last_day) for day in done])
    means = [{one.item: one.mean for one in of_day} for of_day in rated]
    return SymptomDays(
        outcome,
        first_day,
        np.array([of_day.get(symptom, np.nan) for of_day in means]),
        np.array([np.nan if day.sessions is None else float(day.sessions) for day in done]),
    )


def load_around_use(
    session: Session, account_id: UUID, symptom: str, first_day: date, last_day: date
) -> AroundUse:
    """
    Raises:
        NotFound: there is no such symptom, or its item asks of more than the moment.
    """
    outcome = _symptom(symptom)
    if outcome.reaches_before(0):
        raise NotFound("This item asks of a longer time than the hours around a session.")
    days, exposures, outcomes = load_days(session, account_id)
    names = [one.name for one in outcomes]
    if symptom not in names:
        return AroundUse(outcome, first_day, np.empty((2, 0)), np.empty((2, 0)))
    sessions = days.exposures[[one.name for one in exposures].index("sessions")]
    asked = first_day, last_day
    return around_use(days, outcome, names.index(symptom), sessions, asked=asked)


def around_use(
    days: Days, outcome: Outcome, row: int, sessions: Floats, *, asked: tuple[date, date]
) -> AroundUse:
    """Of the days asked for, both included. `row`: the outcome's; `sessions`: of each day."""
    both = np.array([days.before[row], days.same_day[row]])
    is_asked = np.array([asked[0] <= day <= asked[1] for day in days.dates], dtype=bool)
    whole = is_asked & np.isfinite(both).all(axis=0)
    return AroundUse(
        outcome, asked[0], both[:, whole & (sessions > 0)], both[:, whole & (sessions == 0)]
    )


def _symptom(name: str) -> Outcome:
    outcome = OUTCOMES.get(name)
    if outcome is None or ITEMS[outcome.item].group != "symptom":
        raise NotFound("There is no such symptom.")
    return outcome


def _hash(outcome: Outcome, first_day: date, *arrays: Floats) -> str:
    of_outcome = np.frombuffer(outcome.name.encode(), dtype=np.uint8)
    return inputs_hash(0, of_outcome, np.array([first_day.toordinal()]), *arrays)
