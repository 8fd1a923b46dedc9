"""Whether a side effect fades over sessions.

Logistic regression of yes/no on log2(session number) with Firth's (1993) penalty, which keeps
estimates finite where all the yeses come first (Heinze & Schemper 2002). Answers of successive
sessions resemble each other, so the variance is inflated by what a first-order process with the
lag-1 autocorrelation of the Pearson residuals gives.

The interval is that of the penalised profile likelihood, so it holds exactly the slopes that the
test of the penalised likelihood ratio does not reject (Venzon & Moolgavkar 1988; Heinze & Schemper
2002). A Wald interval is symmetric where the likelihood is not, and may touch 0 beside a small p.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, stdtr, stdtrit

from cymba.insights.statistics.arrays import Floats, readings
from cymba.insights.statistics.firth import (
    FirthFit,
    firth_logistic,
    penalised_likelihood,
    profile_end,
)

MIN_ANSWERS = 15
MIN_OF_EACH = 3
LEVEL = 0.05
# Odds that at most halve or double with each doubling of the sessions count as steady.
STEADY_SLOPE = float(np.log(2))
_DECAY = 0.7  # assumed decay of the residuals' autocorrelation with the lag
_HIGHEST_CORRELATION = 0.95


class Course(StrEnum):
    FADING = "fading"
    STEADY = "steady"
    GROWING = "growing"
    NOT_ENOUGH = "not_enough"


class Interval(StrEnum):
    BOUNDED = "bounded"
    NO_LOWER_BOUND = "no_lower_bound"  # every yes came before every no: low is -infinity
    NO_UPPER_BOUND = "no_upper_bound"  # every no came before every yes: high is infinity
    NOT_CONVERGED = "not_converged"  # low and high, or all numbers, are NaN
    NOT_ENOUGH = "not_enough"


@dataclass(frozen=True)
class Trend:
    """slope, low, high: change of the log odds per doubling of the session number (95 %).

    p: two-sided, below .05 where the interval excludes 0 and only there; interval: its kind; n:
    answers; yes: of them yes; inflation: of the variance; course: the verdict. NaN below 15
    answers, 3 yes and 3 no. Enough answers with an interval too wide to call steady give NOT_ENOUGH
    with the numbers.
    """

    slope: float
    low: float
    high: float
    interval: Interval
    p: float
    n: int
    yes: int
    inflation: float
    course: Course
    intercept: float  # log odds at the first session
    covariance: tuple[tuple[float, float], tuple[float, float]]  # of intercept, slope; inflated
    critical: float  # t quantile of 95 %

    def probability(self, session_numbers: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """(S,) fitted probability of a yes, and its pointwise 95 % band's low and high."""
        doublings = np.log2(readings("session_numbers", session_numbers))
        (a, c), (_, b) = self.covariance
        middle = self.intercept + self.slope * doublings
        margin = self.critical * np.sqrt(a + 2 * c * doublings + b * doublings**2)
        return expit(middle), expit(middle - margin), expit(middle + margin)


def side_effect_trend(present: ArrayLike) -> Trend:
    """The course of one side effect from present (S,): 1, 0 or NaN (not answered) by session.

    Raises ValueError for any other value.
    """
    answers = readings("present", present)
    numbers = np.flatnonzero(np.isfinite(answers)) + 1
    y = answers[numbers - 1]
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("present takes 0, 1 and NaN")
    n, yes = y.size, int(y.sum())
    if n < MIN_ANSWERS or min(yes, n - yes) < MIN_OF_EACH:
        return _unknown(n, yes, Interval.NOT_ENOUGH)

    doublings = np.log2(numbers)
    center = float(doublings.mean())  # else slope and intercept are all but collinear late on
    design = np.column_stack([np.ones(n), doublings - center])
    fit = firth_logistic(design, y)
    if fit is None:
        return _unknown(n, yes, Interval.NOT_CONVERGED)
    slope = float(fit.coefficients[1])
    linear = design @ fit.coefficients
    # (y - π)/√(π(1 - π)), written so that a π near 0 or 1 does not divide by 0.
    inflation = _inflation(np.where(y == 1, np.exp(-linear / 2), -np.exp(linear / 2)))
    # The penalised maximum with slope 0 has a closed form: its leverages sum to 2.
    without = np.array([np.log((yes + 1) / (n - yes + 1)), 0.0])
    ratio = 2 * (fit.likelihood - penalised_likelihood(design, y, without))
    df = max(n / inflation - 2, 3.0)
    p = float(2 * stdtr(df, -np.sqrt(max(ratio, 0.0) / inflation)))
    critical = float(stdtrit(df, 1 - LEVEL / 2))
    low, high, interval = _interval(design, y, fit, critical**2 * inflation / 2)
    to_first = np.array([[1.0, -center], [0.0, 1.0]])  # from the middle to the first session
    covariance = to_first @ fit.covariance @ to_first.T * inflation
    return Trend(
        slope=slope,
        low=low,
        high=high,
        interval=interval,
        p=p,
        n=n,
        yes=yes,
        inflation=inflation,
        course=_course(slope, low, high, p),
        intercept=float(fit.coefficients[0]) - slope * center,
        covariance=(
            (float(covariance[0, 0]), float(covariance[0, 1])),
            (float(covariance[1, 0]), float(covariance[1, 1])),
        ),
        critical=critical,
    )


def _unknown(n: int, yes: int, interval: Interval) -> Trend:
    nan = float("nan")
    covariance = ((nan, nan), (nan, nan))
    return Trend(nan, nan, nan, interval, nan, n, yes, nan, Course.NOT_ENOUGH, nan, covariance, nan)


def _interval(
    design: Floats, y: Floats, best: FirthFit, fall: float
) -> tuple[float, float, Interval]:
    """The slopes whose profile lies at most `fall` below the maximum; see `Trend`."""
    last_yes, first_no = np.flatnonzero(y == 1)[-1], np.flatnonzero(y == 0)[0]
    last_no, first_yes = np.flatnonzero(y == 0)[-1], np.flatnonzero(y == 1)[0]
    # Separated answers grow ever likelier as the slope grows steeper: what ends the profile there
    # is the penalty alone.
    low: float | None = -np.inf
    high: float | None = np.inf
    interval = Interval.BOUNDED
    if last_yes < first_no:
        interval = Interval.NO_LOWER_BOUND
    else:
        low = profile_end(design, y, best, column=1, fall=fall, side=-1)
    if last_no < first_yes:
        interval = Interval.NO_UPPER_BOUND
    else:
        high = profile_end(design, y, best, column=1, fall=fall, side=1)
    if low is None or high is None:
        return np.nan, np.nan, Interval.NOT_CONVERGED
    return low, high, interval


def _inflation(residuals: Floats) -> float:
    """max(1, 1 + 2r/(1 - .7)), r the lag-1 autocorrelation plus 2/m for its small-sample bias.

    Of successive answers, not sessions: their own correlation is what the variance depends on. An
    r above .7 decays no faster than itself, so it takes the place of .7 then.
    """
    centred = residuals - residuals.mean()
    r = float(centred[1:] @ centred[:-1] / (centred @ centred)) + 2 / residuals.size
    r = min(r, _HIGHEST_CORRELATION)
    return max(1.0, 1 + 2 * r / (1 - max(_DECAY, r)))


def _course(slope: float, low: float, high: float, p: float) -> Course:
    if p < LEVEL:
        return Course.FADING if slope < 0 else Course.GROWING
    steady = low >= -STEADY_SLOPE and high <= STEADY_SLOPE
    return Course.STEADY if steady else Course.NOT_ENOUGH
