import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cymba.insights.statistics import adjust_bh, exploratory_discoveries, simes

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p_values)
def test_as_scipy_adjusts(p: list[float]) -> None:
    assert adjust_bh(p) == pytest.approx(stats.false_discovery_control(p))


@given(p_values)
def test_refused_tests_are_not_counted(p: list[float]) -> None:
    with_gaps = [value for one in p for value in (one, float("nan"))]
    adjusted = adjust_bh(with_gaps)
    assert np.isnan(adjusted[1::2]).all()
    assert adjusted[::2] == pytest.approx(adjust_bh(p))


def test_none() -> None:
    assert adjust_bh([]).size == 0
    assert np.isnan(adjust_bh([np.nan])).all()
    assert np.isnan(simes([np.nan, np.nan]))


@pytest.mark.parametrize("wrong", [[-0.01], [1.01], [0.5, np.inf]])
def test_no_probability_is_an_error(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="p"):
        adjust_bh(wrong)


@given(p_values)
def test_simes_lies_between_the_smallest_and_bonferroni(p: list[float]) -> None:
    rounding = 1 + 1e-12
    assert min(p) <= simes(p) * rounding
    assert simes(p) <= min(p) * len(p) * rounding


def test_simes_by_hand() -> None:
    assert simes([0.04, 0.01, 0.5]) == pytest.approx(0.03)
    assert simes([0.02, 0.02]) == pytest.approx(0.02)


def test_discoveries_only_within_families_that_were_found() -> None:
    p = np.array(
        [
            [0.0001, 0.6, 0.012],
            [0.04, 0.5, 0.9],
            [np.nan, np.nan, np.nan],
            [0.7, 0.2, 0.3],
        ]
    )
    # Simes .0003, .12, -, .6: one family of three, so within it Benjamini-Hochberg at .05 / 3
    found = exploratory_discoveries(p)
    assert found.tolist() == [
        [True, False, False],
        [False, False, False],
        [False, False, False],
        [False, False, False],
    ]
    assert not exploratory_discoveries(np.full((2, 3), np.nan)).any()
    assert exploratory_discoveries(np.zeros((0, 3))).shape == (0, 3)


def test_noise_in_288_pairs_finds_little() -> None:
    rng = np.random.default_rng(1)
    people = [exploratory_discoveries(rng.random((12, 24))).any() for _ in range(400)]
    assert np.mean(people) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
