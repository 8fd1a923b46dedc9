import numpy as np
import pytest
from scipy.stats import t

from cymba.insights.statistics import cohort_mean


def test_equal_errors_are_a_plain_t_test() -> None:
    effects = np.array([-1.2, -0.3, -0.8, 0.4, -0.9, -1.5])
    result = cohort_mean(effects, np.full(6, 0.2))
    error = effects.std(ddof=1) / np.sqrt(6)
    assert result.mean == pytest.approx(effects.mean())
    assert result.p == pytest.approx(2 * t.sf(abs(effects.mean()) / error, 5))
    assert result.high - result.low == pytest.approx(2 * t.ppf(0.975, 5) * error)
    # Paule and Mandel: the scatter beyond the people's own errors
    assert result.between_sd**2 == pytest.approx(effects.var(ddof=1) - 0.04)


def test_the_between_variance_solves_its_equation() -> None:
    rng = np.random.default_rng(1)
    se = rng.uniform(0.1, 0.6, 25)
    effects = rng.normal(-0.5, np.sqrt(se**2 + 0.4))
    result = cohort_mean(effects, se)
    weights = 1 / (se**2 + result.between_sd**2)
    mean = weights @ effects / weights.sum()
    assert weights @ (effects - mean) ** 2 == pytest.approx(24)
    assert result.mean == pytest.approx(mean)
    assert result.next_low < result.low < result.mean < result.high < result.next_high


def test_people_alike_have_no_variance_between_and_no_false_precision() -> None:
    result = cohort_mean([-0.5, -0.5, -0.5, -0.5], [0.4, 0.4, 0.4, 0.4])
    assert result.between_sd == 0
    assert result.high - result.low == pytest.approx(2 * t.ppf(0.975, 3) * 0.2)


def test_refused_people_are_left_out() -> None:
    whole = cohort_mean([-1.0, 0.2, -0.4], [0.3, 0.2, 0.5])
    gaps = cohort_mean([-1.0, np.nan, 0.2, -0.4, 3.0], [0.3, 0.1, 0.2, 0.5, np.nan])
    assert gaps == whole
    assert gaps.people == 3


def test_two_people_are_no_cohort() -> None:
    result = cohort_mean([-1.0, 0.2], [0.3, 0.2])
    assert np.isnan([result.mean, result.low, result.p, result.next_high]).all()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="positive"):
        cohort_mean([1.0, 2.0, 3.0], [0.1, 0.0, 0.2])
    with pytest.raises(ValueError, match="unequal"):
        cohort_mean([1.0, 2.0, 3.0], [0.1, 0.2])


def test_coverage_over_cohorts() -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(600):
        se = rng.uniform(0.1, 0.8, 12)
        truth = rng.normal(-0.4, 0.5, 12)
        result = cohort_mean(rng.normal(truth, se), se)
        covered.append(result.low <= -0.4 <= result.high)
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 600)
