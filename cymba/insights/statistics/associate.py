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

from cymba.insights.statistics.arrays import Floats, Integers
from cymba.insights.statistics.pair import MIN_PAIRS
from cymba.insights.statistics.regression import Slopes, Sums, partial_slopes
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
    (fits,) = estimate(series, [series.pairs()], confidence)
    return fits


def estimate(
    series: Series, looks: Sequence[Iterable[Pairs]], confidence: float
) -> list[Associations]:
    """Fit the pairs of each look; what is not among them stays NaN, with n = 0."""
    shape = (len(looks), *series.shape)
    sums = np.full((len(Sums._fields), *shape), np.nan)
    contrast, range_x, range_y, of_one_day = (np.full(shape, np.nan) for _ in range(4))
    half_effects = np.full((2, *shape), np.nan)
    n = np.zeros(shape, dtype=np.int64)
    for look, pair in ((look, pair) for look, pairs in enumerate(looks) for pair in pairs):
        days, place = pair.days, (look, *pair.place)
        n[place] = days.size
        if days.size < MIN_PAIRS or not pair.exposures.members.size:
            continue
        x = np.take(pair.exposures.by_day, days - pair.lag, axis=1)
        past = np.take(pair.exposures.by_day, days - pair.lag - 1, axis=1)
        y = series.outcomes[pair.outcome, days]
        slopes = partial_slopes(series.nuisance(pair), y, x, past)
        sums[:, *place] = slopes.sums
        contrast[place], half_effects[:, *place] = contrasts(x), _halves(slopes)
        range_x[place], range_y[place] = x.max(axis=1) - x.min(axis=1), y.max() - y.min()
        of_one_day[place] = _of_one_day(slopes)

    fits = Sums(*sums)
    # The first reason that holds
    refusal = np.select(
        [
            n < MIN_PAIRS,
            fits.df < MIN_DF,
            range_y == 0,
            range_x == 0,
            ~(fits.vif <= MAX_VIF),
            of_one_day > MAX_SHARE_OF_ONE_DAY,
        ],
        [
            Refusal.FEW_PAIRS,
            Refusal.FEW_DF,
            Refusal.CONSTANT_OUTCOME,
            Refusal.CONSTANT_EXPOSURE,
            Refusal.COLLINEAR,
            Refusal.ONE_DAY,
        ],
        Refusal.NONE,
    )
    refused = refusal != Refusal.NONE
    effect, se, df, contrast = (
        np.where(refused, np.nan, array) for array in (fits.slope, fits.se, fits.df, contrast)
    )
    half_effects[:, refused] = np.nan
    # Where even the residuals vanish the quotient is infinite, and p is 0: right, and no warning.
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(df, -np.abs(effect / se))
    margin = stdtrit(df, (1 + confidence) / 2) * se
    low, high, follows_p = effect - margin, effect + margin, fits.follows_p
    return [
        Associations(
            effect=effect[look],
            se=se[look],
            df=df[look],
            p=p[look],
            n=n[look],
            contrast=contrast[look],
            low=low[look],
            high=high[look],
            half_effects=half_effects[:, look],
            follows_p=follows_p[look],
            refusal=refusal[look],
            lags=series.lags,
            confidence=confidence,
        )
        for look in range(len(looks))
    ]


def contrasts(x: Floats) -> Floats:
    """(E,) of x (E, N): mean above the median minus mean at or below it.

    Where nothing lies above the median (stimulated on most days, equally) it is the mean at the
    median minus the mean below it.
    """
    rows = x.shape[1]
    ordered = np.sort(x, axis=1)
    median = (ordered[:, (rows - 1) // 2] + ordered[:, rows // 2])[:, None] / 2
    upper = (x > median).astype(np.float64)
    count = upper.sum(axis=1)
    if not count.all():
        upper = np.where(count[:, None] > 0, upper, x >= median)
        count = upper.sum(axis=1)
    total = np.vecdot(x, upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference: Floats = total / count - (x.sum(axis=1) - total) / (rows - count)
    return difference


def _of_one_day(slopes: Slopes) -> Floats:
    """(E,) the largest share of a single day in the squares of what is left of x, or of y."""
    x, y = slopes.partial_x * slopes.partial_x, slopes.partial_y * slopes.partial_y
    with np.errstate(invalid="ignore"):
        largest: Floats = np.fmax(x.max(axis=1) / x.sum(axis=1), y.max(axis=1) / y.sum(axis=1))
    return largest


def _halves(slopes: Slopes) -> Floats:
    """(2, E) slopes in the first and second half of the rows, all else as fitted over both.

    A half alone is too short for the whole regression; its share of the joint one is not.
    """
    middle = slopes.partial_x.shape[1] // 2
    halves = [
        (slopes.partial_x[:, half], slopes.partial_y[:, half])
        for half in (slice(middle), slice(middle, None))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([np.vecdot(x, y) / np.vecdot(x, x) for x, y in halves])
