"""Over people: each person's own fit first, then the mean of a random-effects model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from cymba.insights.statistics.arrays import Floats, readings, same_days

MIN_PEOPLE = 3
LEVEL = 0.05


@dataclass(frozen=True)
class CohortMean:
    """mean: of people's effects, in their unit, with its 95 % interval and two-sided p.

    between_sd is the standard deviation of people's true effects; next_low to next_high is where
    the next person's own lies with 95 % (a prediction interval). NaN below 3 people.
    """

    mean: float
    low: float
    high: float
    p: float
    people: int
    between_sd: float
    next_low: float
    next_high: float


def cohort_mean(effects: ArrayLike, standard_errors: ArrayLike) -> CohortMean:
    """Pool people's effects (P,) with their standard errors (P,); people with a NaN are left out.

    Between-people variance by Paule & Mandel (1982); the interval by Hartung & Knapp (2001) and
    Sidik & Jonkman (2002), its variance never below the ordinary one's (Röver et al. 2015);
    prediction by Higgins et al. (2009), on P - 2 degrees of freedom. Raises ValueError for a
    standard error that is not positive.
    """
    y, se = readings("effects", effects), readings("standard_errors", standard_errors)
    same_days(effects=y, standard_errors=se)
    fitted = np.isfinite(y) & np.isfinite(se)
    y, se = y[fitted], se[fitted]
    if (se <= 0).any():
        raise ValueError("standard errors must be positive")
    if y.size < MIN_PEOPLE:
        nan = float("nan")
        return CohortMean(nan, nan, nan, nan, y.size, nan, nan, nan)

    between = _between_variance(y, se)
    weights = 1 / (se**2 + between)
    mean = float(weights @ y / weights.sum())
    df = y.size - 1
    scatter = float(weights @ (y - mean) ** 2) / df
    variance = max(scatter, 1.0) / float(weights.sum())
    error = float(np.sqrt(variance))
    margin = float(stdtrit(df, 1 - LEVEL / 2)) * error
    reach = float(stdtrit(df - 1, 1 - LEVEL / 2) * np.sqrt(between + variance))
    return CohortMean(
        mean=mean,
        low=mean - margin,
        high=mean + margin,
        p=float(2 * stdtr(df, -abs(mean) / error)),
        people=y.size,
        between_sd=float(np.sqrt(between)),
        next_low=mean - reach,
        next_high=mean + reach,
    )


def _between_variance(y: Floats, se: Floats) -> float:
    """The variance at which the generalised Q equals its expectation; 0 if Q is below it."""
    # To import it takes as long as half of SciPy, and every process imports this module.
    from scipy.optimize import brentq  # noqa: PLC0415

    def excess(between: float) -> float:
        weights = 1 / (se**2 + between)
        mean = weights @ y / weights.sum()
        return float(weights @ (y - mean) ** 2) - (y.size - 1)

    if excess(0.0) <= 0:
        return 0.0
    # At the total scatter every weighted square is below its share.
    return float(brentq(excess, 0.0, float(((y - y.mean()) ** 2).sum()) + 1e-12))
