import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cymba.insights.statistics import (
    MILESTONES,
    associate,
    latest_look,
    looks,
    milestone,
    next_milestone,
    sequential_p,
)
from cymba.insights.statistics.sequential import SEQUENTIAL_LEVELS

Floats = NDArray[np.float64]
probabilities = st.floats(0, 1)


@pytest.mark.parametrize(("now", "overall"), SEQUENTIAL_LEVELS)
def test_the_table_itself(now: float, overall: float) -> None:
    assert sequential_p(now) == pytest.approx(overall)


def test_between_two_levels_it_is_linear_in_the_logarithms() -> None:
    middle = np.sqrt(0.0188 * 0.0086)
    assert sequential_p(middle) == pytest.approx(np.sqrt(0.10 * 0.05))


@given(probabilities, probabilities)
def test_it_rises_with_p_and_never_falls_below_it(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert sequential_p(low) <= sequential_p(high)
    # no less than p itself, no more than Bonferroni's for ten looks
    assert high <= sequential_p(high) <= max(10 * high, 1.0)


@given(probabilities, probabilities)
def test_the_smallest_so_far_stands(now: float, before: float) -> None:
    assert sequential_p(now, before) == min(sequential_p(now), before)


def test_below_the_table_bonferroni_bounds_it() -> None:
    assert sequential_p(1e-6) == pytest.approx(1e-5)
    assert sequential_p(0.000025) == pytest.approx(0.0002)


def test_a_refused_look_leaves_what_was() -> None:
    assert sequential_p(float("nan"), 0.03) == 0.03
    assert sequential_p(0.0086, float("nan")) == pytest.approx(0.05)
    assert sequential_p(0.0) == 0.0


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("inf")])
def test_no_probability_is_an_error(wrong: float) -> None:
    with pytest.raises(ValueError, match="p_now is not a probability"):
        sequential_p(wrong)
    with pytest.raises(ValueError, match="p_before is not a probability"):
        sequential_p(0.5, wrong)


def test_milestones() -> None:
    assert milestone(27) is None
    assert [milestone(n) for n in (28, 39, 40, 639, 640, 5000)] == [28, 28, 40, 448, 640, 640]
    assert [next_milestone(n) for n in (0, 27, 28, 639, 640)] == [28, 28, 40, 640, None]


def diary(days: int) -> tuple[Floats, Floats, Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(days)
    exposures = rng.gamma(2.0, 1.0, (2, days))
    exposures[1, :25] = np.nan
    ratings = rng.normal(5, 1.5, (2, 2, days))
    ratings[rng.random(ratings.shape) < 0.2] = np.nan
    return exposures, ratings[0], ratings[1], np.arange(days) % 7


def test_each_look_has_its_milestone_of_pairs_and_ends_there() -> None:
    exposures, outcomes, before, weekdays = diary(140)
    taken = list(looks(exposures, outcomes, before, weekdays, [1, 2]))
    assert [look.milestone for look in taken] == list(MILESTONES[: len(taken)])
    assert len(taken) >= 3
    for look in taken:
        fits = look.associations
        assert (fits.n[look.reached] == look.milestone).all()
        assert (fits.n[~look.reached] == 0).all()
        assert np.isnan(fits.effect[~look.reached]).all()
        for row, outcome, exposure in zip(*np.nonzero(look.reached), strict=True):
            upto = slice(0, int(look.end_days[row, outcome, exposure]) + 1)
            alone = associate(
                exposures[[exposure], upto],
                outcomes[[outcome], upto],
                before[[outcome], upto],
                weekdays[upto],
                [(1, 2)[row]],
            )
            at = (row, outcome, exposure)
            for name in ("effect", "se", "p", "low", "high", "contrast"):
                assert getattr(fits, name)[at] == pytest.approx(getattr(alone, name)[0, 0, 0])
            halves = fits.half_effects[(slice(None), *at)]
            assert halves == pytest.approx(alone.half_effects[:, 0, 0, 0])


def test_what_was_shown_does_not_move_as_days_arrive() -> None:
    exposures, outcomes, before, weekdays = diary(140)
    early = list(looks(exposures[:, :90], outcomes[:, :90], before[:, :90], weekdays[:90], [1]))
    late = list(looks(exposures, outcomes, before, weekdays, [1]))
    for then, now in zip(early, late, strict=False):
        at = then.reached
        np.testing.assert_array_equal(then.associations.p[at], now.associations.p[at])
        np.testing.assert_array_equal(then.end_days[at], now.end_days[at])


def test_the_latest_look_is_the_last_of_each_pair() -> None:
    data = diary(140)
    fits, pairs = latest_look(*data, [1, 2])
    np.testing.assert_array_equal(fits.n, pairs)
    for look in looks(*data, [1, 2]):
        last = pairs == look.milestone
        np.testing.assert_array_equal(fits.p[last], look.associations.p[last])


def test_before_the_first_milestone_there_is_no_look() -> None:
    exposures, outcomes, before, weekdays = diary(20)
    assert not list(looks(exposures, outcomes, before, weekdays, [1]))
    fits, pairs = latest_look(exposures, outcomes, before, weekdays, [1])
    assert not pairs.any()
    assert np.isnan(fits.effect).all()
