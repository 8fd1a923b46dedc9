import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import t

from cymba.insights.statistics import ResponseGrade, Threshold, response
from simulator.people import autoregression

Floats = NDArray[np.float64]


def ratings(mean: float, days: int, sd: float = 0.4, seed: int = 1) -> Floats:
    series = autoregression((1, days), 0.5, np.random.default_rng(seed))[0]
    return mean + sd * (series - series.mean())


@pytest.mark.parametrize(
    ("current", "grade", "threshold"),
    [
        (1.5, ResponseGrade.CONFIRMED, Threshold.SUBSTANTIAL),
        (3.6, ResponseGrade.CONFIRMED, Threshold.MODERATE),
        (5.4, ResponseGrade.SMALL, None),
        (6.0, ResponseGrade.NO_CLEAR_CHANGE, None),
        (7.5, ResponseGrade.WORSE, None),
    ],
)
def test_grades(current: float, grade: ResponseGrade, threshold: Threshold | None) -> None:
    result = response(ratings(6.0, 31), ratings(current, 28))
    assert (result.grade, result.threshold) == (grade, threshold)
    assert result.low < result.change_ratio < result.high
    assert result.change_ratio == pytest.approx(current / 6 - 1, abs=0.06)
    assert result.two_points == (current <= 4)


@pytest.mark.parametrize(
    ("current", "sd", "threshold"),
    [(4.0, 1.8, Threshold.MODERATE), (2.7, 2.5, Threshold.SUBSTANTIAL)],
)
def test_likely_is_past_the_threshold_but_not_surely(
    current: float, sd: float, threshold: Threshold
) -> None:
    result = response(ratings(6.0, 31, sd), ratings(current, 28, sd))
    limit = {Threshold.MODERATE: -0.3, Threshold.SUBSTANTIAL: -0.5}[threshold]
    assert result.change_ratio <= limit < result.high
    assert (result.grade, result.threshold) == (ResponseGrade.LIKELY, threshold)


def test_the_interval_is_where_the_difference_may_be_nothing() -> None:
    """Fieller's ends solve (m1 - r m0)² = t² (v1 + r² v0), with the variances made here anew."""
    baseline, current = ratings(6, 31, 1.2), ratings(4, 28, 1.2, seed=2)
    current[[3, 4, 11]] = np.nan
    result = response(baseline, current)
    squares = trace = trace_squared = 0.0
    means, shares = [], []
    for values in (baseline[3:], current):
        days = np.flatnonzero(np.isfinite(values))
        n = days.size
        correlation = result.phi ** np.abs(np.subtract.outer(days, days))
        centring = np.eye(n) - 1 / n
        trace += np.trace(centring @ correlation)
        trace_squared += np.trace(centring @ correlation @ centring @ correlation)
        squares += ((values[days] - values[days].mean()) ** 2).sum()
        means.append(values[days].mean())
        shares.append(correlation.sum() / n**2)
    v0, v1 = (squares / trace * share for share in shares)
    assert result.df == pytest.approx(trace**2 / trace_squared)
    critical = t.ppf(0.975, result.df) ** 2
    for end in (result.low + 1, result.high + 1):
        assert (means[1] - end * means[0]) ** 2 == pytest.approx(critical * (v1 + end**2 * v0))


def test_the_first_three_days_of_the_baseline_are_dropped() -> None:
    baseline, current = ratings(6, 31), ratings(6, 28)
    expected = response(baseline, current)
    baseline[:3] = 10.0
    assert response(baseline, current) == expected
    late = np.concatenate([np.full(4, np.nan), baseline])
    assert response(late, current).baseline_mean == pytest.approx(expected.baseline_mean)


def test_only_the_last_28_days_count() -> None:
    baseline, current = ratings(6, 31), ratings(4, 28)
    long = np.concatenate([np.full(100, 9.0), current])
    assert response(baseline, long) == response(baseline, current)


@pytest.mark.parametrize(
    ("baseline", "current"),
    [
        (np.array([]), np.array([])),
        (ratings(6, 13), ratings(4, 28)),
        (ratings(6, 31), ratings(4, 13)),
        (np.full(40, np.nan), ratings(4, 28)),
        (np.zeros(30), ratings(4, 28)),
        (np.concatenate([np.zeros(29), [1.0]]), ratings(4, 28)),
    ],
)
def test_refusals(baseline: Floats, current: Floats) -> None:
    result = response(baseline, current)
    assert result.grade is ResponseGrade.NOT_ENOUGH
    assert np.isnan([result.change_ratio, result.low, result.high]).all()


def test_neighbouring_days_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    order = rng.permutation(28)
    smooth = 4 + 1.5 * np.sin(np.arange(28) / 4)
    baseline = ratings(6, 31)
    in_waves, shuffled = response(baseline, smooth), response(baseline, smooth[order])
    assert in_waves.phi > shuffled.phi
    assert in_waves.high - in_waves.low > shuffled.high - shuffled.low


def test_ratings_that_never_vary_are_no_surer_than_their_rounding() -> None:
    fallen = response([8.0] * 20, [5.0] * 28)
    assert fallen.change_ratio == pytest.approx(-3 / 8)
    assert fallen.low < fallen.change_ratio - 0.05
    assert fallen.high > fallen.change_ratio + 0.05
    assert fallen.grade is ResponseGrade.LIKELY
    same = response([8.0] * 20, [8.0] * 28)
    assert same.low < 0 < same.high
