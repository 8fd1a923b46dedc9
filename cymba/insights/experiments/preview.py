"""What a trial could find, shown before the person decides on one: by the very test, on people who
rate and stimulate as this one does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
from scipy.special import bdtrc
from sqlalchemy.orm import Session

from cymba.insights.days import Floats
from cymba.insights.experiments import ratings
from cymba.insights.inputs import load_days
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.statistics import trial_power
from cymba.insights.statistics.trial import MIN_PAIRS

# Where the diary is too short to tell: measured on simulated people as a common case.
USUAL_SD, USUAL_PHI, USUAL_RATED, USUAL_USED = 1.5, 0.6, 0.8, 0.9
MIN_DAYS_TO_TELL = 28
RECENT_DAYS = 90  # that tell how regularly the person rates and stimulates
STEP = 0.05  # of shares and phi: neighbours share a simulation, and it is kept
MAX_PHI = 0.95

# Missing mornings cost whole pairs, the more the shorter their blocks.
PLANNED_MISSING = 0.3
ENOUGH_LEFT = 0.95  # probability that six whole pairs remain


class Plan(NamedTuple):
    pairs: int
    block_days: int


OFFERED = (Plan(21, 2), Plan(14, 3))  # the first is the default; both take 84 days


@dataclass(frozen=True, slots=True)
class Habits:
    """How the person rates and stimulates; shares are of days."""

    sd: float
    phi: float
    rated: float
    rated_again: float  # of the mornings after one with a rating
    used: float
    from_own_diary: bool


@dataclass(frozen=True, slots=True)
class Power:
    """What a plan finds. Differences are in the outcome's points."""

    plan: Plan
    smallest_difference: float | None  # with probability .8; None: none
    power: float  # of finding the smallest difference that matters
    minimal_difference: float
    habits: Habits

    @property
    def days(self) -> int:
        return 2 * self.plan.pairs * self.plan.block_days


def power(
    session: Session, account_id: UUID, outcome: str, *, plans: Sequence[Plan]
) -> list[Power]:
    """What each plan finds, by the person's own diary.

    Raises:
        Rejected: trials are not made of this outcome.
    """
    ratings.check_outcome(outcome)
    habits = _habits(session, account_id, outcome)
    return [_power(plan, habits, OUTCOMES[outcome].minimal_difference) for plan in plans]


def least_pairs(block_days: int) -> int:
    """So many that, with 3 of 10 mornings missing, six whole pairs remain 19 times of 20."""
    whole = (1 - PLANNED_MISSING**block_days) ** 2
    pairs = MIN_PAIRS
    while bdtrc(MIN_PAIRS - 1, pairs, whole) < ENOUGH_LEFT:
        pairs += 1
    return pairs


def _power(plan: Plan, habits: Habits, minimal: float) -> Power:
    found = trial_power(
        plan.pairs,
        plan.block_days,
        phi=step(habits.phi),
        rated=step(habits.rated),
        rated_again=step(habits.rated_again),
        used=step(habits.used),
    )
    return Power(
        plan, found.smallest_difference(habits.sd), found.of(minimal, habits.sd), minimal, habits
    )


def step(share: float) -> float:
    return round(round(share / STEP) * STEP, 4)


def _habits(session: Session, account_id: UUID, outcome: str) -> Habits:
    mornings = ratings.rated_days(session, account_id, outcome).mornings[0]
    seen = spread(mornings)
    sd, phi = seen or (USUAL_SD, USUAL_PHI)
    rated, again = USUAL_RATED, USUAL_RATED
    if seen is not None:
        recent = np.isfinite(mornings[-RECENT_DAYS:])
        rated = float(recent.mean())
        again = float(recent[1:][recent[:-1]].mean())
    used = _used(session, account_id)
    return Habits(sd, phi, rated, again, used, from_own_diary=seen is not None)


def spread(mornings: Floats) -> tuple[float, float] | None:
    """Standard deviation and lag-1 autocorrelation of the mornings, where there are enough."""
    rated = np.isfinite(mornings)
    successive = rated[1:] & rated[:-1]
    if rated.sum() < MIN_DAYS_TO_TELL or successive.sum() < MIN_DAYS_TO_TELL // 2:
        return None
    sd = float(mornings[rated].std(ddof=1))
    if sd == 0:
        return None
    centred = mornings - mornings[rated].mean()
    covariance = float((centred[1:] * centred[:-1])[successive].mean())
    return sd, float(np.clip(covariance / sd**2, 0.0, MAX_PHI))


def _used(session: Session, account_id: UUID) -> float:
    """The share of the last days with a session, of those of which it is known."""
    days, exposures, _ = load_days(session, account_id)
    row = next(place for place, one in enumerate(exposures) if one.name == "sessions")
    recent = days.exposures[row, -RECENT_DAYS:]
    known = np.isfinite(recent)
    if known.sum() < MIN_DAYS_TO_TELL:
        return USUAL_USED
    return float((recent[known] > 0).mean())
