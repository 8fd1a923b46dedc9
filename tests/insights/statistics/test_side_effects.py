import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import t

from cymba.insights.statistics import Course, side_effect_trend
from cymba.insights.statistics.side_effects import firth_logistic

Floats = NDArray[np.float64]


def test_two_by_two_is_a_half_added_to_each_cell() -> None:
    # For a saturated model Firth's penalty adds ½ to every count (Firth 1993)
    group = np.repeat([0.0, 1.0], [12, 9])
    y = np.concatenate([np.repeat([1.0, 0.0], [5, 7]), np.repeat([1.0, 0.0], [0, 9])])
    coefficients, _ = firth_logistic(np.column_stack([np.ones(21), group]), y)
    assert coefficients[0] == pytest.approx(np.log(5.5 / 7.5))
    assert coefficients[1] == pytest.approx(np.log(0.5 / 9.5) - np.log(5.5 / 7.5))


@pytest.mark.parametrize("seed", range(5))
def test_the_maximum_of_the_penalised_likelihood(seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(40), np.log2(np.arange(1, 41))])
    y = (rng.random(40) < expit(1 - 0.5 * design[:, 1])).astype(float)

    def loss(b: Floats) -> float:
        p = expit(design @ b)
        information = (design.T * (p * (1 - p))) @ design
        likelihood = y @ np.log(p) + (1 - y) @ np.log1p(-p)
        return -float(likelihood + np.log(np.linalg.det(information)) / 2)

    best = minimize(
        loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )
    assert firth_logistic(design, y)[0] == pytest.approx(best.x, abs=1e-5)


def test_p_is_of_the_penalised_likelihood_ratio() -> None:
    rng = np.random.default_rng(3)
    y = (rng.random(60) < 0.4).astype(float)
    trend = side_effect_trend(y)
    design = np.column_stack([np.ones(60), np.log2(np.arange(1, 61))])

    def penalised(b: Floats) -> float:
        p = expit(design @ b)
        information = (design.T * (p * (1 - p))) @ design
        return float(
            y @ np.log(p) + (1 - y) @ np.log1p(-p) + np.log(np.linalg.det(information)) / 2
        )

    without = max(penalised(np.array([a, 0.0])) for a in np.linspace(-2, 2, 4001))
    ratio = 2 * (penalised(np.array([trend.intercept, trend.slope])) - without)

    df = 60 / trend.inflation - 2
    assert trend.p == pytest.approx(2 * t.sf(np.sqrt(ratio / trend.inflation), df), rel=1e-4)
    assert trend.low == pytest.approx(
        trend.slope - t.ppf(0.975, df) * np.sqrt(trend.covariance[1][1])
    )


def test_a_side_effect_that_stops_is_fading() -> None:
    trend = side_effect_trend([1.0] * 8 + [0.0] * 22)
    assert trend.course is Course.FADING
    assert trend.slope < 0
    assert np.isfinite([trend.slope, trend.low, trend.high]).all()


def test_fading_growing_and_steady() -> None:
    rng = np.random.default_rng(1)
    doublings = np.log2(np.arange(1, 121))
    falling = (rng.random(120) < expit(3 - doublings)).astype(float)
    assert side_effect_trend(falling).course is Course.FADING
    rising = (rng.random(120) < expit(-4 + doublings)).astype(float)
    assert side_effect_trend(rising).course is Course.GROWING
    assert side_effect_trend([1.0, 0.0] * 60).course is Course.STEADY


def test_no_trend_and_a_wide_interval_is_not_called_steady() -> None:
    answers = [0.0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    trend = side_effect_trend(answers)
    assert trend.course is Course.NOT_ENOUGH
    assert trend.low < 0 < trend.high


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [np.nan] * 40,
        [1.0, 0.0] * 7,
        [0.0] * 38 + [1.0] * 2,
        [1.0] * 38 + [0.0] * 2,
        [1.0] * 30,
        [0.0] * 30,
    ],
)
def test_too_little_is_refused(answers: list[float]) -> None:
    trend = side_effect_trend(answers)
    assert trend.course is Course.NOT_ENOUGH
    assert np.isnan([trend.slope, trend.low, trend.high, trend.p]).all()
    assert trend.n == np.isfinite(answers).sum()


def test_sessions_without_an_answer_keep_their_number() -> None:
    answers = np.array([1.0, 1, 0, 1] * 10)
    later = np.concatenate([np.full(64, np.nan), answers])
    now, then = side_effect_trend(answers), side_effect_trend(later)
    assert now.n == then.n
    assert then.slope != pytest.approx(now.slope)


def test_runs_widen_the_interval() -> None:
    mixed, in_runs = [1.0, 0, 0] * 20, ([1.0] * 5 + [0.0] * 10) * 4
    assert side_effect_trend(mixed).inflation == 1.0
    assert side_effect_trend(in_runs).inflation > 3


def test_the_curve_is_the_fit_with_its_band() -> None:
    trend = side_effect_trend([1.0] * 8 + [0.0, 1, 0, 0] * 8)
    middle, low, high = trend.probability(np.arange(1.0, 41.0))
    assert (low < middle).all()
    assert (middle < high).all()
    assert middle[0] == pytest.approx(expit(trend.intercept))
    assert (np.diff(middle) < 0).all()


@pytest.mark.parametrize("wrong", [[0.5] * 20, [2.0] * 20, [[1.0, 0.0]]])
def test_other_answers_are_an_error(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="present"):
        side_effect_trend(wrong)
