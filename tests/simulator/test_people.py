from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.people import (
    FLARES,
    FULL,
    MORNING_DRIVES_USE,
    REGRESSION_TO_THE_MEAN,
    SKIPPED_ON_BAD_DAYS,
    YESTERDAY_DRIVES_USE,
    World,
    autoregression,
    live,
    other_items,
)

Floats = NDArray[np.float64]
PLAIN = replace(FULL, drift=0, week_sd=0, missing=0, unsynced=0, use_drift=0, weekend=0)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def correlation(a: Floats, b: Floats) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_autoregression_has_its_variance_and_correlation() -> None:
    series = autoregression((400, 300), 0.7, rng())
    assert series.var() == pytest.approx(1, abs=0.03)
    assert correlation(series[:, 1:], series[:, :-1]) == pytest.approx(0.7, abs=0.02)


def test_pain_from_morning_to_morning() -> None:
    pain = live(PLAIN, 300, rng()).pain
    assert pain.mean() == pytest.approx(5, abs=0.1)
    assert pain.std() == pytest.approx(1.3, abs=0.05)
    assert correlation(pain[:, 1:], pain[:, :-1]) == pytest.approx(0.6, abs=0.02)


def test_ratings_are_whole_numbers_of_the_scale_with_gaps() -> None:
    diaries = live(replace(FULL, spread=4.0), 50, rng())
    for ratings in (diaries.morning, diaries.evening, diaries.before):
        given = ratings[np.isfinite(ratings)]
        assert set(given) == set(np.arange(11.0))
    assert np.isnan(diaries.morning).mean() == pytest.approx(0.3, abs=0.02)
    assert np.isnan(diaries.sessions).mean() == pytest.approx(0.03, abs=0.01)
    assert set(diaries.sessions[np.isfinite(diaries.sessions)]) == {0, 1, 2}
    assert np.array_equal(np.diff(diaries.weekdays) % 7, np.ones(179))


def test_an_effect_is_on_the_evening_and_the_next_morning() -> None:
    without, with_effect = (
        live(replace(PLAIN, effect=effect, carry_over=0.0), 40, rng(3)) for effect in (0.0, -1.0)
    )
    np.testing.assert_array_equal(without.sessions, with_effect.sessions)
    change = with_effect.pain - without.pain
    np.testing.assert_allclose(change[:, 1:], -without.sessions[:, :-1])
    np.testing.assert_allclose(change[:, 0], 0)


@pytest.mark.parametrize(
    ("world", "lag", "linked"),
    [
        (FULL, 0, False),
        (MORNING_DRIVES_USE, 0, True),
        (YESTERDAY_DRIVES_USE, 1, True),
        (FLARES, 0, True),
    ],
)
def test_what_drives_use(world: World, lag: int, linked: bool) -> None:
    diaries = live(replace(world, unsynced=0, drift=0, use_drift=0, week_sd=0), 200, rng())
    days = diaries.pain.shape[1]
    link = correlation(diaries.pain[:, : days - lag], diaries.sessions[:, lag:])
    assert (link > 0.15) == linked


def test_flares_last_for_days() -> None:
    calm, flaring = (live(world, 300, rng()).pain for world in (FULL, FLARES))
    assert flaring.mean() > calm.mean() + 0.15
    assert flaring.std() > calm.std()


def test_bad_days_are_skipped() -> None:
    diaries = live(SKIPPED_ON_BAD_DAYS, 300, rng())
    skipped = np.isnan(diaries.morning)
    assert diaries.pain[skipped].mean() > diaries.pain[~skipped].mean() + 0.3


def test_starting_on_a_bad_day_and_getting_better_by_itself() -> None:
    pain = live(replace(REGRESSION_TO_THE_MEAN, drift=0), 300, rng()).pain.mean(axis=0)
    assert pain[0] > 6.5
    assert pain[20:].mean() == pytest.approx(5, abs=0.2)


def test_before_is_the_last_rating_within_a_day() -> None:
    diaries = live(replace(FULL, missing=0.5), 30, rng())
    morning, evening = diaries.morning[:, 1:], diaries.evening[:, :-1]
    expected = np.where(np.isfinite(morning), morning, evening)
    np.testing.assert_array_equal(diaries.before[:, 1:], expected)


def test_asked_before_each_session_there_is_always_a_rating() -> None:
    diaries = live(replace(FULL, missing=0.6, rates_before_sessions=True, unsynced=0), 30, rng())
    assert np.isfinite(diaries.before[diaries.sessions > 0]).all()
    assert np.isnan(diaries.before).any()


def test_other_items_share_what_they_should() -> None:
    diaries = live(PLAIN, 200, rng())
    items = other_items(diaries, 2, rng(2), PLAIN)
    assert items.morning.shape == (2, 200, 180)
    assert correlation(items.morning[0], diaries.pain) == pytest.approx(0.5, abs=0.05)
    assert correlation(items.morning[0], items.morning[1]) == pytest.approx(0.25, abs=0.05)


def test_a_person_can_be_met_again() -> None:
    first, second = live(FULL, 3, rng(9)), live(FULL, 3, rng(9))
    np.testing.assert_array_equal(first.morning, second.morning)
