"""Whether a side effect fades over sessions.

Logistic regression of yes/no on log2(session number) with Firth's (1993) penalty, which keeps
estimates finite where all the yeses come first (Heinze & Schemper 2002). Answers of successive
sessions resemble each other, so the variance is inflated by what a first-order process with the
lag-1 autocorrelation of the Pearson residuals gives.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, stdtr, stdtrit

from cymba.insights.statistics.arrays import Floats, readings

MIN_ANSWERS = 15
MIN_OF_EACH = 3
LEVEL = 0.05
# Odds that at most halve or double with each doubling of the sessions count as steady.
STEADY_SLOPE = float(np.log(2))
_DECAY = 0.7  # assumed decay of the residuals' autocorrelation with the lag
_HIGHEST_CORRELATION = 0.95
_STEPS = 100


class Course(StrEnum):
    FADING = "fading"
    STEADY = "steady"
    GROWING = "growing"
    NOT_ENOUGH = "not_enough"


@dataclass(frozen=True)
class Trend:
    """slope, low, high: change of the log odds per doubling of the session number (95 %).

    p: two-sided; n: answers; yes: of them yes; inflation: of the variance; course: the verdict.
    NaN below 15 answers, 3 yes and 3 no. Enough answers with an interval too wide to call steady
    give NOT_ENOUGH with the numbers.
    """

    slope: float
    low: float
    high: float
    p: float
    n: int
    yes: int
    inflation: float
    course: Course
    intercept: float  # log odds at the first session
    covariance: tuple[tuple[float, float], tuple[float, float]]  # of intercept, slope; inflated
    critical: float  # t quantile of the 95 % interval

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
        nan = float("nan")
        unknown = ((nan, nan), (nan, nan))
        return Trend(nan, nan, nan, nan, n, yes, nan, Course.NOT_ENOUGH, nan, unknown, nan)

    doublings = np.log2(numbers)
    design = np.column_stack([np.ones(n), doublings])
    coefficients, covariance = firth_logistic(design, y)
    linear = design @ coefficients
    # (y - π)/√(π(1 - π)), written so that a π near 0 or 1 does not divide by 0.
    inflation = _inflation(np.where(y == 1, np.exp(-linear / 2), -np.exp(linear / 2)))
    # The penalised maximum with slope 0 has a closed form: its leverages sum to 2.
    without = np.array([np.log((yes + 1) / (n - yes + 1)), 0.0])
    ratio = 2 * (
        _penalised_likelihood(design, y, coefficients) - _penalised_likelihood(design, y, without)
    )
    df = max(n / inflation - 2, 3.0)
    p = float(2 * stdtr(df, -np.sqrt(max(ratio, 0.0) / inflation)))
    critical = float(stdtrit(df, 1 - LEVEL / 2))
    slope = float(coefficients[1])
    inflated = covariance * inflation
    margin = critical * float(np.sqrt(inflated[1, 1]))
    low, high = slope - margin, slope + margin
    return Trend(
        slope=slope,
        low=low,
        high=high,
        p=p,
        n=n,
        yes=yes,
        inflation=inflation,
        course=_course(slope, low, high, p),
        intercept=float(coefficients[0]),
        covariance=(
            (float(inflated[0, 0]), float(inflated[0, 1])),
            (float(inflated[1, 0]), float(inflated[1, 1])),
        ),
        critical=critical,
    )


def firth_logistic(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients (K,) and covariance (K, K) of y (N,) of 0/1 on design (N, K).

    Maximises l(b) + ½ log|I(b)| by Newton's method on the modified score
    X'(y - π + h(½ - π)), h the diagonal of the weighted hat matrix; steps are halved until the
    penalised likelihood rises.
    """
    coefficients = np.zeros(design.shape[1])
    likelihood = _penalised_likelihood(design, y, coefficients)
    for _ in range(_STEPS):
        fitted, covariance = _fit_at(design, coefficients)
        weights = fitted * (1 - fitted)
        leverage = weights * np.einsum("ij,jk,ik->i", design, covariance, design)
        step = covariance @ (design.T @ (y - fitted + leverage * (0.5 - fitted)))
        while True:
            proposed = _penalised_likelihood(design, y, coefficients + step)
            if proposed >= likelihood - 1e-12 or np.abs(step).max() < 1e-10:
                break
            step /= 2
        coefficients, likelihood = coefficients + step, proposed
        if np.abs(step).max() < 1e-9:
            break
    return coefficients, _fit_at(design, coefficients)[1]


def _fit_at(design: Floats, coefficients: Floats) -> tuple[Floats, Floats]:
    """Fitted probabilities, and the inverse of the information X'diag(π(1 - π))X."""
    fitted = expit(design @ coefficients)
    information = (design.T * (fitted * (1 - fitted))) @ design
    return fitted, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _penalised_likelihood(design: Floats, y: Floats, coefficients: Floats) -> float:
    linear = design @ coefficients
    weights = expit(linear) * expit(-linear)
    sign, log_determinant = np.linalg.slogdet((design.T * weights) @ design)
    if sign <= 0:
        return -np.inf
    return float(y @ linear - np.logaddexp(0, linear).sum() + log_determinant / 2)


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
