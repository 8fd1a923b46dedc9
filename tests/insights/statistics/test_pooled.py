import numpy as np
import pytest

from cymba.insights.statistics import associate, looks, pooled_ratings

NAN = np.nan


def test_the_evening_before_and_the_morning_or_the_one_there_is() -> None:
    ratings, hours = pooled_ratings([[4.0, NAN, 6.0, NAN]], [[9.0, 2.0, 5.0, 3.0]])
    np.testing.assert_array_equal(ratings, [[9.0, 3.0, 5.0, 4.5]])
    np.testing.assert_array_equal(hours, [[-1.0, 0.0, -1.0, 0.0]])
    ratings, hours = pooled_ratings([[4.0, NAN, 1.0]], [[NAN, NAN, NAN]])
    np.testing.assert_array_equal(ratings, [[NAN, 4.0, NAN]])
    np.testing.assert_array_equal(hours, [[0.0, 1.0, 0.0]])


def test_evenings_and_mornings_each_have_their_own_level() -> None:
    """A person who feels three points worse in the evenings and skips some of them at random."""
    rng = np.random.default_rng(4)
    days = 120
    x = rng.gamma(2, 1, days)
    course = 5 - 0.5 * x + rng.normal(0, 0.01, days)
    evening, morning = course + 3, np.append(np.nan, course[:-1])
    evening[rng.random(days) < 0.4] = NAN
    morning[rng.random(days) < 0.4] = NAN
    ratings, hours = pooled_ratings(evening[None], morning[None])
    before = rng.normal(5, 1, (1, days))
    fits = associate(x[None], ratings, before, np.arange(days) % 7, [1], hours=hours)
    assert fits.effect.item() == pytest.approx(-0.5, abs=0.01)
    assert fits.se.item() < 0.01


def test_a_look_is_made_again_from_later_days() -> None:
    rng = np.random.default_rng(5)
    evening, morning = rng.normal(5, 1, (2, 1, 90))
    morning[rng.random(morning.shape) < 0.3] = NAN
    x, before = rng.gamma(2, 1, (1, 90)), rng.normal(5, 1, (1, 90))

    def first_look(days: int) -> float:
        ratings, hours = pooled_ratings(evening[:, :days], morning[:, :days])
        some = (x[:, :days], ratings, before[:, :days], np.arange(days) % 7, [1])
        return next(looks(*some, hours=hours)).associations.effect.item()

    assert first_look(35) == first_look(60) == first_look(90)
