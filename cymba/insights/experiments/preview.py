"""What a trial could find, shown before the person decides on one."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.insights.experiments import ratings
from cymba.insights.statistics import smallest_difference

# Where the diary is too short to tell: measured on simulated people as a common case.
USUAL_SD, USUAL_PHI = 1.5, 0.6
MIN_DAYS_TO_TELL = 28


@dataclass(frozen=True, slots=True)
class Power:
    """What a plan can find: differences of at least `smallest_difference` with probability .8."""

    pairs: int
    days: int
    smallest_difference: float  # in the outcome's points
    sd: float
    phi: float
    from_own_diary: bool


def power(
    session: Session, account_id: UUID, outcome: str, *, block_days: int, pairs: Sequence[int]
) -> list[Power]:
    """For each number of pairs, the smallest difference it finds, by the person's own diary.

    Raises:
        Rejected: trials are not made of this outcome.
    """
    ratings.check_outcome(outcome)
    sd, phi, own = _spread(session, account_id, outcome)
    return [
        Power(
            pairs=count,
            days=2 * count * block_days,
            smallest_difference=smallest_difference(count, block_days, sd, phi),
            sd=sd,
            phi=phi,
            from_own_diary=own,
        )
        for count in pairs
    ]


def _spread(session: Session, account_id: UUID, outcome: str) -> tuple[float, float, bool]:
    """Standard deviation and lag-1 autocorrelation of the outcome's mornings; whether its own."""
    mornings = ratings.rated_days(session, account_id, outcome).mornings[0]
    rated = np.isfinite(mornings)
    successive = rated[1:] & rated[:-1]
    if rated.sum() < MIN_DAYS_TO_TELL or successive.sum() < MIN_DAYS_TO_TELL // 2:
        return USUAL_SD, USUAL_PHI, False
    sd = float(mornings[rated].std(ddof=1))
    if sd == 0:
        return USUAL_SD, USUAL_PHI, False
    centred = mornings - mornings[rated].mean()
    covariance = float((centred[1:] * centred[:-1])[successive].mean())
    return sd, float(np.clip(covariance / sd**2, 0.0, 0.95)), True
