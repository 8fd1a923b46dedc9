"""How far a symptom has come from its baseline.

The ratio of the two periods' means with Fieller's (1954) interval. Days resemble their neighbours,
so the variance of a mean is that of a first-order autoregression over the days that were rated.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from cymba.insights.statistics.arrays import Floats, readings

MIN_BASELINE_DAYS = 14
DROPPED_BASELINE_DAYS = 3  # people start on a bad day
CURRENT_DAYS = 28
MIN_CURRENT_DAYS = 14
LEVEL = 0.05
# Looked at every four weeks: the level of each look. Of people whose pain does not change (φ .6)
# who read it all year, .02 are ever shown a fall by a third (docs/calibration.md).
LOOK_LEVEL = 0.006
# IMMPACT (Dworkin et al. 2008): reductions of a 0 to 10 pain rating
MODERATE_RATIO, SUBSTANTIAL_RATIO, MODERATE_POINTS = -0.30, -0.50, -2.0
_PHI_RANGE = (0.5, 0.92)
# Of what is rounded to whole points (uniform over one): ratings that never vary are no surer.
_LEAST_VARIANCE = 1 / 12


class ResponseGrade(StrEnum):
    CONFIRMED = "confirmed"  # the whole interval past the threshold
    LIKELY = "likely"  # the point past it, the interval below 0
    SMALL = "small"  # the interval below 0, the point short of the lowest threshold
    NO_CLEAR_CHANGE = "no_clear_change"
    WORSE = "worse"  # the interval on the worse side of 0
    BETTER = "better"  # the interval on the better side of 0, in points
    NOT_ENOUGH = "not_enough"


class Threshold(StrEnum):
    MODERATE = "moderate"  # 30 %
    SUBSTANTIAL = "substantial"  # 50 %


@dataclass(frozen=True)
class Response:
    """change_ratio: current mean / baseline mean - 1, with its interval.

    threshold is the one that `confirmed` and `likely` refer to. change_points is in the rating's
    points, and two_points whether it is a fall of at least 2. NaN where there is not enough, or
    the baseline too near 0 for a ratio. `points_low` and `points_high` are the interval of
    change_points, where that is what is shown (`response_in_points`).
    """

    change_ratio: float
    low: float
    high: float
    grade: ResponseGrade
    threshold: Threshold | None
    change_points: float
    two_points: bool
    baseline_mean: float
    current_mean: float
    baseline_n: int
    current_n: int
    phi: float
    df: float
    points_low: float = float("nan")
    points_high: float = float("nan")


@dataclass(frozen=True)
class _Period:
    days: Floats
    values: Floats

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def correlation(self, phi: float) -> Floats:
        correlation: Floats = phi ** np.abs(self.days[:, None] - self.days)
        return correlation


def response(baseline: ArrayLike, current: ArrayLike, *, level: float = LEVEL) -> Response:
    """Compare baseline (D0,) with the last 28 days of current (D1,), both by day, NaN unrated.

    A lower rating is a better one. The first 3 days of the baseline, from its first rating, are
    dropped here; 14 rated days of each period are needed. The interval is at 1 - `level`.
    """
    before, now, enough = _periods(baseline, current)
    if not enough or before.mean <= 0:
        return _not_enough(before, now)
    phi = _autocorrelation(before, now)
    variances, df = _mean_variances((before, now), phi)
    low, high = _fieller((now.mean, before.mean), (variances[1], variances[0]), df, level)
    if np.isnan(low):
        return _not_enough(before, now)
    ratio = now.mean / before.mean - 1
    grade, threshold = _grade(ratio, low - 1, high - 1)
    return Response(
        change_ratio=ratio,
        low=low - 1,
        high=high - 1,
        grade=grade,
        threshold=threshold,
        change_points=now.mean - before.mean,
        two_points=now.mean - before.mean <= MODERATE_POINTS,
        baseline_mean=before.mean,
        current_mean=now.mean,
        baseline_n=before.values.size,
        current_n=now.values.size,
        phi=phi,
        df=df,
    )


def response_in_points(
    baseline: ArrayLike, current: ArrayLike, *, level: float = LEVEL
) -> Response:
    """The same of a rating where higher is better: such a scale has no "none" to be a share of, so
    the difference of the means is shown, and no threshold. Its interval leaves 0 out where that of
    the ratio would leave out 1.
    """
    before, now, enough = _periods(baseline, current)
    nothing = _not_enough(before, now)
    if not enough:
        return nothing
    phi = _autocorrelation(before, now)
    variances, df = _mean_variances((before, now), phi)
    change = now.mean - before.mean
    margin = float(stdtrit(df, 1 - level / 2)) * float(np.sqrt(sum(variances)))
    low, high = change - margin, change + margin
    return replace(
        nothing,
        grade=ResponseGrade.BETTER
        if low > 0
        else ResponseGrade.WORSE
        if high < 0
        else ResponseGrade.NO_CLEAR_CHANGE,
        change_points=change,
        points_low=low,
        points_high=high,
        phi=phi,
        df=df,
    )


def _periods(baseline: ArrayLike, current: ArrayLike) -> tuple[_Period, _Period, bool]:
    """Both, and whether they hold enough; the baseline then without its first days."""
    before = _period("baseline", baseline, 0, None)
    now = _period("current", current, -CURRENT_DAYS, None)
    enough = before.values.size >= MIN_BASELINE_DAYS and now.values.size >= MIN_CURRENT_DAYS
    if enough:
        kept = before.days >= before.days[0] + DROPPED_BASELINE_DAYS
        before = _Period(before.days[kept], before.values[kept])
    return before, now, enough


def _period(name: str, ratings: ArrayLike, first: int, last: int | None) -> _Period:
    values = readings(name, ratings)[first:last]
    rated = np.flatnonzero(np.isfinite(values))
    return _Period(rated.astype(np.float64), values[rated])


def _autocorrelation(*periods: _Period) -> float:
    """Lag-1 autocorrelation over both periods, each about its own mean, clipped to .5 to .92.

    About an estimated mean it is too small by (1 + 4φ)/n (Marriott & Pope 1954), here taken out.
    """
    products = squares = pairs = count = 0.0
    for period in periods:
        centred = period.values - period.values.mean()
        adjacent = np.flatnonzero(np.diff(period.days) == 1)
        products += float(centred[adjacent] @ centred[adjacent + 1])
        pairs += adjacent.size
        squares += float(centred @ centred)
        count += centred.size
    lowest, highest = _PHI_RANGE
    if not pairs or not squares:
        return highest
    n = count / len(periods)
    raw = (products / pairs) / (squares / count)
    return float(np.clip((raw + 1 / n) / (1 - 4 / n), lowest, highest))


def _mean_variances(periods: tuple[_Period, ...], phi: float) -> tuple[list[float], float]:
    """The variance of each period's mean, and the degrees of freedom of the variance they share.

    With R the correlations of the rated days and M the centring, E[e'Me] = σ² tr(MR), and
    Satterthwaite's degrees of freedom are tr(MR)² / tr(MRMR).
    """
    squares = trace = trace_squared = 0.0
    shares = []
    for period in periods:
        correlation = period.correlation(phi)
        centred = correlation - correlation.mean(axis=0)
        trace += float(np.trace(centred))
        trace_squared += float(np.einsum("ij,ji->", centred, centred))
        squares += float(((period.values - period.values.mean()) ** 2).sum())
        shares.append(float(correlation.mean()))
    variance = max(squares / trace, _LEAST_VARIANCE)
    return [variance * share for share in shares], trace**2 / trace_squared


def _fieller(
    means: tuple[float, float], variances: tuple[float, float], df: float, level: float
) -> tuple[float, float]:
    """The ratios r of the first mean to the second for which first - r x second may be 0; NaN where
    they are unbounded."""
    (numerator, denominator), (numerator_var, denominator_var) = means, variances
    t_squared = float(stdtrit(df, 1 - level / 2)) ** 2
    a = denominator**2 - t_squared * denominator_var
    b = numerator * denominator
    c = numerator**2 - t_squared * numerator_var
    if a <= 0:
        return float("nan"), float("nan")
    root = np.sqrt(max(b * b - a * c, 0.0))
    return float((b - root) / a), float((b + root) / a)


def _grade(ratio: float, low: float, high: float) -> tuple[ResponseGrade, Threshold | None]:
    thresholds = (
        (Threshold.SUBSTANTIAL, SUBSTANTIAL_RATIO),
        (Threshold.MODERATE, MODERATE_RATIO),
    )
    for threshold, limit in thresholds:
        if high <= limit:
            return ResponseGrade.CONFIRMED, threshold
    if high < 0:
        for threshold, limit in thresholds:
            if ratio <= limit:
                return ResponseGrade.LIKELY, threshold
        return ResponseGrade.SMALL, None
    return (ResponseGrade.WORSE if low > 0 else ResponseGrade.NO_CLEAR_CHANGE), None


def _not_enough(before: _Period, now: _Period) -> Response:
    nan = float("nan")
    return Response(
        change_ratio=nan,
        low=nan,
        high=nan,
        grade=ResponseGrade.NOT_ENOUGH,
        threshold=None,
        change_points=nan,
        two_points=False,
        baseline_mean=before.mean if before.values.size else nan,
        current_mean=now.mean if now.values.size else nan,
        baseline_n=before.values.size,
        current_n=now.values.size,
        phi=nan,
        df=nan,
    )
