"""What an outcome does after more stimulation, for every exposure, outcome and lag at once.

For an outcome at lag L (local projection with lag controls, which needs no correction for
autocorrelation: Jordà 2005; Montiel Olea & Plagborg-Møller 2021):

    y[t] ~ x[t-L] + x[t-L-1] + before[t-L] + trend + slow cosines + weekday

Nothing that comes after the exposure is adjusted for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from cymba.insights.statistics.arrays import Booleans, Floats, Integers
from cymba.insights.statistics.pair import MIN_PAIRS
from cymba.insights.statistics.regression import Slopes, partial_slopes
from cymba.insights.statistics.series import Pairs, Series

MIN_DF = 10
MAX_VIF = 10.0
MAX_SHARE_OF_ONE_DAY = 0.5
LOOK_ALPHA = 0.0086  # per look, for .05 over ten (see sequential.py)


class Refusal(IntEnum):
    """Why a pair has no estimate."""

    NONE = 0
    FEW_PAIRS = 1
    FEW_DF = 2
    CONSTANT_EXPOSURE = 3
    CONSTANT_OUTCOME = 4
    COLLINEAR = 5  # the exposure says little that its past, the trend or the weekday does not
    ONE_DAY = 6  # a single day carries more than half of the exposure's or the outcome's variation


@dataclass(frozen=True)
class Associations:
    """Estimates, each (L, O, E) for the lags, outcomes and exposures as given; NaN where refused.

    effect, se   : points of the outcome per unit of the exposure
    low, high    : its interval, in the same unit, at `confidence`
    df, p        : degrees of freedom of the t test, and its two-sided p for one look
    n            : complete pairs; given for refused pairs too
    contrast     : mean exposure above its median minus the mean at or below it, in its own unit
    half_effects : (2, L, O, E) what each half of the pairs alone says of the effect
    follows_p    : (L, O, E) p of the exposure following the rating before it, beside its own past,
                   trend and weekday
    refusal      : (L, O, E) of Refusal
    """

    effect: Floats
    se: Floats
    df: Floats
    p: Floats
    n: Integers
    contrast: Floats
    low: Floats
    high: Floats
    half_effects: Floats
    follows_p: Floats
    refusal: Integers
    lags: tuple[int, ...]
    confidence: float

    @property
    def shown_effect(self) -> Floats:
        """The effect between the person's own higher and lower days, in the outcome's points."""
        return self.effect * self.contrast

    @property
    def shown_se(self) -> Floats:
        return self.se * self.contrast

    @property
    def shown_low(self) -> Floats:
        return self.low * self.contrast

    @property
    def shown_high(self) -> Floats:
        return self.high * self.contrast


def associate(
    exposures: ArrayLike,
    outcomes: ArrayLike,
    before: ArrayLike,
    weekdays: ArrayLike,
    lags: Sequence[int],
    *,
    hours: ArrayLike | None = None,
    cycle: ArrayLike | None = None,
    confidence: float = 1 - LOOK_ALPHA,
) -> Associations:
    """Estimate every pair at every lag.

    Parameters
    ----------
    exposures  : (E, D) by day
    outcomes   : (O, D); outcomes[:, t] is day t's morning, so lag 1 pairs it with day t-1
    before     : (O, D) each outcome's last rating before the day's first session
    weekdays   : (D,) 0 Monday … 6 Sunday
    lags       : non-negative, in days
    hours      : (O, D) by what hours each outcome was rated, where that varies (`pooled_ratings`)
    cycle      : (K, D) terms of a logged cycle (`cycle_terms`)
    confidence : of `low` and `high`; the default holds over all ten looks

    Raises ValueError for shapes that do not fit, infinite values, other weekdays, negative lags.
    """
    series = Series.of(exposures, outcomes, before, weekdays, lags, hours=hours, cycle=cycle)
    return estimate(series, list(series.pairs()), confidence)


def estimate(series: Series, pairs: Iterable[Pairs], confidence: float) -> Associations:
    """Fit these pairs; what is not among them stays NaN, with n = 0."""
    effect, se, df, contrast, follows_p = (np.full(series.shape, np.nan) for _ in range(5))
    half_effects = np.full((2, *series.shape), np.nan)
    n = np.zeros(series.shape, dtype=np.int64)
    refusal = np.full(series.shape, Refusal.FEW_PAIRS, dtype=np.int64)
    for pair in pairs:
        days, place = pair.days, pair.place
        n[place] = days.size
        if days.size < MIN_PAIRS:
            continue
        current = pair.exposures.by_day[days - pair.lag]
        y = series.outcomes[pair.outcome, days]
        slopes = partial_slopes(
            series.nuisance(pair),
            y,
            current,
            pair.exposures.by_day[days - pair.lag - 1],
        )
        refusal[place] = _refusals(slopes, current, y)
        effect[place], se[place], df[place] = slopes.slope, slopes.se, slopes.df
        contrast[place], follows_p[place] = contrasts(current), slopes.follows_p
        half_effects[:, *place] = _halves(slopes)

    refused = refusal != Refusal.NONE
    for array in (effect, se, df, contrast):
        array[refused] = np.nan
    half_effects[:, refused] = np.nan
    # Where even the residuals vanish the quotient is infinite, and p is 0: right, and no warning.
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(df, -np.abs(effect / se))
    margin = stdtrit(df, (1 + confidence) / 2) * se
    return Associations(
        effect=effect,
        se=se,
        df=df,
        p=p,
        n=n,
        contrast=contrast,
        low=effect - margin,
        high=effect + margin,
        half_effects=half_effects,
        follows_p=follows_p,
        refusal=refusal,
        lags=series.lags,
        confidence=confidence,
    )


def contrasts(x: Floats) -> Floats:
    """(E,) of x (N, E): mean above the median minus mean at or below it.

    Where nothing lies above the median (stimulated on most days, equally) it is the mean at the
    median minus the mean below it.
    """
    rows = x.shape[0]
    ordered = np.sort(x, axis=0)
    median = (ordered[(rows - 1) // 2] + ordered[rows // 2]) / 2
    above = x > median
    upper = np.where(above.any(axis=0), above, x >= median)
    count, total = upper.sum(axis=0), np.einsum("ij,ij->j", x, upper)
    with np.errstate(invalid="ignore"):
        difference: Floats = total / count - (x.sum(axis=0) - total) / (rows - count)
    return difference


def _refusals(slopes: Slopes, x: Floats, y: Floats) -> Integers:
    refusals = np.full(slopes.slope.shape, Refusal.NONE, dtype=np.int64)
    refusals[_one_row_dominates(slopes.partial_x) | _one_row_dominates(slopes.partial_y)] = (
        Refusal.ONE_DAY
    )
    refusals[slopes.vif > MAX_VIF] = Refusal.COLLINEAR
    refusals[np.isnan(slopes.slope)] = Refusal.COLLINEAR
    refusals[x.min(axis=0) == x.max(axis=0)] = Refusal.CONSTANT_EXPOSURE
    if y.min() == y.max():
        refusals[:] = Refusal.CONSTANT_OUTCOME
    refusals[slopes.df < MIN_DF] = Refusal.FEW_DF
    return refusals


def _one_row_dominates(columns: Floats) -> Booleans:
    squares = columns * columns
    dominates: Booleans = squares.max(axis=0) > MAX_SHARE_OF_ONE_DAY * squares.sum(axis=0)
    return dominates


def _halves(slopes: Slopes) -> Floats:
    """(2, E) slopes in the first and second half of the rows, all else as fitted over both.

    A half alone is too short for the whole regression; its share of the joint one is not.
    """
    middle = slopes.partial_x.shape[0] // 2
    products = slopes.partial_x * slopes.partial_y
    squares = slopes.partial_x**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack(
            [
                products[:middle].sum(axis=0) / squares[:middle].sum(axis=0),
                products[middle:].sum(axis=0) / squares[middle:].sum(axis=0),
            ]
        )
