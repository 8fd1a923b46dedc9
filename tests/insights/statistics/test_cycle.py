import numpy as np
import pytest

from cymba.insights.statistics import associate, cycle_terms


def test_a_cycle_begins_anew_with_each_logged_first_day() -> None:
    cosine, _ = cycle_terms([3, 31, 61], 90)
    assert cosine[[3, 31, 61]] == pytest.approx(1)
    assert cosine[3 + 14] == pytest.approx(-1)


def test_logging_the_next_cycle_changes_no_day_before_it() -> None:
    np.testing.assert_array_equal(cycle_terms([3, 30], 60), cycle_terms([3, 30, 60], 90)[:, :60])
    some = cycle_terms([3, 30], 90)
    np.testing.assert_array_equal(cycle_terms([3, 30, 50], 90)[:, :50], some[:, :50])


def test_who_logs_none_has_no_terms_and_slips_are_no_length() -> None:
    assert cycle_terms([], 40).shape == (0, 40)
    # A first day logged twice, and a year without logging
    twice, once = cycle_terms([3, 4, 32, 400], 430), cycle_terms([4, 32, 400], 430)
    np.testing.assert_allclose(twice[:, 4:], once[:, 4:])


def test_days_before_the_first_logged_one_are_carried_back() -> None:
    cosine, _ = cycle_terms([28], 40)
    assert cosine[0] == pytest.approx(1)
    assert cycle_terms([-10], 30)[0, 18] == pytest.approx(1)


def test_what_a_cycle_alone_brings_about_is_not_told_of_use() -> None:
    """Pain and use both go by the cycle, against each other, and neither by the other."""
    rng = np.random.default_rng(2)
    days = 200
    wave = np.cos(2 * np.pi * np.arange(days) / 28)
    x = (1.5 - wave + 0.3 * rng.normal(size=days))[None]
    y = (5 + 2 * wave + 0.3 * rng.normal(size=days))[None]
    before = rng.normal(5, 1, (1, days))
    weekdays = np.arange(days) % 7
    without = associate(x, y, before, weekdays, [1])
    logged = associate(x, y, before, weekdays, [1], cycle=cycle_terms(np.arange(0, days, 28), days))  # type: ignore[arg-type]
    assert without.p.item() < 1e-6
    assert logged.p.item() > 0.05
