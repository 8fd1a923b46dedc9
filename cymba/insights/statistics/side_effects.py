"""Whether a side effect fades over sessions.

Logistic regression of yes/no on log2(session number) with Firth's (1993) penalty, which keeps
estimates finite where all the yeses come first (Heinze & Schemper 2002). Answers of successive
sessions resemble each other, so the variance is inflated by what a first-order process with the
lag-1 autocorrelation of the Pearson residuals gives.

The interval is that of the penalised profile likelihood, so it holds exactly the slopes that the
test of the penalised likelihood ratio does not reject (Venzon & Moolgavkar 1988; Heinze & Schemper
2002). A Wald interval is symmetric where the likelihood is not, and may touch 0 beside a small p.

What is shown changes only at SIDE_EFFECT_MILESTONES. The chance that somebody without a trend is
ever shown one is at most .05: .01 by FADING_LEVEL and .04 by GROWING_LEVEL. A false all-clear is
worse than a late one, and a late warning is worse than a false one.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, stdtr, stdtrit

from cymba.insights.statistics.arrays import Floats, Integers, readings
from cymba.insights.statistics.firth import (
    FirthFit,
    firth_logistic,
    penalised_likelihood,
    profile_end,
)
from cymba.insights.statistics.sequential import MILESTONES, look_level, milestone

# In answers. Sooner and longer than those of findings, as a warning is awaited: each about √2 of
# the one before, as the levels over ten looks suppose; a year of two sessions a day has eleven.
SIDE_EFFECT_MILESTONES = (20, *MILESTONES, 896, 1280)
# Two-sided over all looks, and half of it falls on the side that is shown.
FADING_LEVEL = 0.02
GROWING_LEVEL = 0.08
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
    """slope, low, high: change of the log odds per doubling of the session number.

    p: two-sided, of this look alone, below `level` where the interval excludes 0 and only there;
    interval: its kind; n: answers; yes: of them yes; sessions: number of the last one answered;
    inflation: of the variance; course: the verdict. NaN below 15 answers, 3 yes and 3 no. Enough
    answers with an interval too wide to call steady give NOT_ENOUGH with the numbers.
    """

    slope: float
    low: float
    high: float
    interval: Interval
    p: float
    n: int
    yes: int
    sessions: int
    inflation: float
    course: Course
    intercept: float  # log odds at the first session
    level: float  # 1 - that of the interval: by the way that the slope points
    critical: float  # t quantile of the interval

    @property
    def fall(self) -> float:
        """How far below its maximum the profile lies at the interval's ends."""
        return self.critical**2 * self.inflation / 2

    def probability(self, session_numbers: ArrayLike) -> Floats:
        """(S,) fitted probability of a yes."""
        doublings = np.log2(readings("session_numbers", session_numbers))
        share: Floats = expit(self.intercept + self.slope * doublings)
        return share


def latest_trend(present: ArrayLike) -> Trend:
    """What the last milestone said, which stands until the next; `present` as `side_effect_trend`.

    From the first so many answers, so that it can be made again whenever later ones have arrived.
    Before the first milestone NOT_ENOUGH with n = 0.
    """
    answers = readings("present", present)
    answered = np.flatnonzero(np.isfinite(answers))
    number = milestone(answered.size, SIDE_EFFECT_MILESTONES) or 0
    return side_effect_trend(
        answers[: answered[number - 1] + 1] if number else answers[:0],
        fading=look_level(FADING_LEVEL),
        growing=look_level(GROWING_LEVEL),
    )


def side_effect_trend(
    present: ArrayLike, *, fading: float = LEVEL, growing: float = LEVEL
) -> Trend:
    """The course of one side effect from present (S,): 1, 0 or NaN (not answered) by session.

    fading, growing : two-sided levels of this look, by the way that the slope points

    Raises ValueError for any other value.
    """
    y, numbers = _answered(readings("present", present))
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("present takes 0, 1 and NaN")
    n, yes = y.size, int(y.sum())
    sessions = int(numbers[-1]) if n else 0
    if n < MIN_ANSWERS or min(yes, n - yes) < MIN_OF_EACH:
        return _unknown(n, yes, sessions, Interval.NOT_ENOUGH)

    doublings = np.log2(numbers)
    center = float(doublings.mean())  # else slope and intercept are all but collinear late on
    design = np.column_stack([np.ones(n), doublings - center])
    fit = firth_logistic(design, y)
    if fit is None:
        return _unknown(n, yes, sessions, Interval.NOT_CONVERGED)
    slope = float(fit.coefficients[1])
    linear = design @ fit.coefficients
    # (y - π)/√(π(1 - π)), written so that a π near 0 or 1 does not divide by 0.
    inflation = _inflation(np.where(y == 1, np.exp(-linear / 2), -np.exp(linear / 2)))
    # The penalised maximum with slope 0 has a closed form: its leverages sum to 2.
    without = np.array([np.log((yes + 1) / (n - yes + 1)), 0.0])
    ratio = 2 * (fit.likelihood - penalised_likelihood(design, y, without))
    df = max(n / inflation - 2, 3.0)
    p = float(2 * stdtr(df, -np.sqrt(max(ratio, 0.0) / inflation)))
    level = fading if slope < 0 else growing
    critical = float(stdtrit(df, 1 - level / 2))
    low, high, interval = _interval(design, y, fit, critical**2 * inflation / 2)
    return Trend(
        slope=slope,
        low=low,
        high=high,
        interval=interval,
        p=p,
        n=n,
        yes=yes,
        sessions=sessions,
        inflation=inflation,
        course=_course(slope, low, high, p, level),
        intercept=float(fit.coefficients[0]) - slope * center,
        level=level,
        critical=critical,
    )


def trend_band(
    present: ArrayLike, trend: Trend, session_numbers: ArrayLike
) -> tuple[Floats, Floats] | None:
    """(S,) low and high of the probability of a yes; None where the interval is not bounded.

    Of the curves whose likelihood has fallen no further than at the ends of the slope's interval,
    so a level curve lies within exactly where the interval holds 0. `present` as it was when
    `trend` was made, or with later answers.
    """
    if trend.interval is not Interval.BOUNDED:
        return None
    y, numbers = _answered(readings("present", present)[: trend.sessions])
    ends: list[list[float]] = [[], []]
    for at in np.log2(readings("session_numbers", session_numbers)):
        # With the session in question as the origin, its log odds are the intercept.
        design = np.column_stack([np.ones(trend.n), np.log2(numbers) - at])
        best = firth_logistic(design, y)
        if best is None:
            return None
        for side, found in zip((-1, 1), ends, strict=True):
            end = profile_end(design, y, best, column=0, fall=trend.fall, side=side)
            if end is None:
                return None
            found.append(end)
    low, high = expit(np.array(ends))
    return low, high


def _answered(answers: Floats) -> tuple[Floats, Integers]:
    """(N,) the answers that were given, and the numbers of their sessions."""
    numbers = np.flatnonzero(np.isfinite(answers)) + 1
    return answers[numbers - 1], numbers


def _unknown(n: int, yes: int, sessions: int, interval: Interval) -> Trend:
    nan = float("nan")
    return Trend(
        slope=nan,
        low=nan,
        high=nan,
        interval=interval,
        p=nan,
        n=n,
        yes=yes,
        sessions=sessions,
        inflation=nan,
        course=Course.NOT_ENOUGH,
        intercept=nan,
        level=nan,
        critical=nan,
    )


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


def _course(slope: float, low: float, high: float, p: float, level: float) -> Course:
    if p < level:
        return Course.FADING if slope < 0 else Course.GROWING
    steady = low >= -STEADY_SLOPE and high <= STEADY_SLOPE
    return Course.STEADY if steady else Course.NOT_ENOUGH
