"""Which pairs are looked at."""

from datetime import date, timedelta

import numpy as np
import pytest

from cymba.insights.analysis import analyse
from cymba.insights.days import Days
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import OUTCOMES

CHARGE = tuple(exposure for exposure in EXPOSURES if exposure.name == "charge")
FIRST = date(2026, 1, 5)


@pytest.mark.parametrize(
    ("outcome", "lags"),
    [
        ("pain_now", {0, 1, 2, 3}),
        ("cough", {0, 1, 2, 3}),
        ("pain_average", {1, 2, 3}),
        ("sleep_quality", {1, 2, 3}),
        ("sleep_hours", {1, 2, 3}),
        ("phq4.total", set()),
        ("pgic", set()),
    ],
)
def test_what_asks_of_the_time_before_a_session_is_not_compared_with_it(outcome, lags) -> None:
    """The evening's answer about the last 24 hours holds the pain that brought the session about:
    without any effect one person in five would be told of a link."""
    count = 60
    rng = np.random.default_rng(1)
    ratings = rng.normal(5, 1, (3, 1, count))
    days = Days(
        dates=[FIRST + timedelta(days=day) for day in range(count)],
        weekdays=np.arange(count) % 7,
        exposures=rng.gamma(2, 1, (1, count)),
        mornings=ratings[0],
        same_day=ratings[1],
        before=ratings[2],
    )
    pairs = analyse(days, CHARGE, [OUTCOMES[outcome]])
    assert {pair.lag for pair in pairs} == lags
    assert all(pair.verdict is not None and pair.taken for pair in pairs)
