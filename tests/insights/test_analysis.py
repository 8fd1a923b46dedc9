"""Which pairs are looked at."""

import json
import sys
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.insights.analysis import LookTaken, Pair, analyse
from cymba.insights.days import Days
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.statistics import Grade, Reason, Tier
from cymba.insights.statistics.regression import Slopes, partial_slopes

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


def a_year(seed: int, *, follows_pain: float, effect: float = -0.8, evenings: bool = True) -> Days:
    """Charge that follows the rating before it by so much, and pain that follows the charge."""
    count = 200
    rng = np.random.default_rng(seed)
    before = rng.normal(5, 1, (1, count))
    charge = rng.gamma(2, 1, (1, count)) + follows_pain * before
    felt, evening = 5 + effect * charge + 0.3 * rng.normal(size=(2, 1, count))
    mornings = np.full((1, count), np.nan)
    mornings[:, 1:] = felt[:, :-1]
    return Days(
        dates=[FIRST + timedelta(days=day) for day in range(count)],
        weekdays=np.arange(count) % 7,
        exposures=charge,
        mornings=mornings,
        same_day=evening if evenings else evening * np.nan,
        before=before,
    )


def primary(days: Days) -> Pair:
    pairs = analyse(days, CHARGE, [OUTCOMES["pain_now"]])
    (found,) = (pair for pair in pairs if pair.tier is Tier.PRIMARY)
    return found


def test_evening_and_morning_are_one_where_use_follows_no_pain() -> None:
    found = primary(a_year(1, follows_pain=0.0))
    assert found.verdict is not None
    assert found.verdict.grade is Grade.STRONG
    assert found.pooled
    assert Reason.EVENING_AND_MORNING in found.verdict.reasons
    alone = primary(a_year(1, follows_pain=0.0, evenings=False))
    assert found.last.se < alone.last.se  # type: ignore[operator]
    assert not alone.pooled


@pytest.mark.parametrize("effect", [-0.8, 0.8, 0.0])
def test_where_use_follows_pain_only_a_trial_can_tell(effect: float) -> None:
    """In both directions, and that there is no link just as little; by the mornings alone."""
    days = a_year(2, follows_pain=0.8, effect=effect)
    for pair in analyse(days, CHARGE, [OUTCOMES["pain_now"]]):
        assert pair.verdict is not None
        assert pair.verdict.grade in (Grade.EARLY_SIGNAL, Grade.NOT_ENOUGH)
        assert pair.verdict.reasons[-1] is Reason.USE_FOLLOWS_PAIN or not pair.taken
        assert not pair.pooled


def test_what_stands_between_milestones_is_made_again_from_later_days() -> None:
    whole = a_year(3, follows_pain=0.2)

    def told(count: int) -> tuple[object, ...]:
        days = Days(
            whole.dates[:count], whole.weekdays[:count], whole.exposures[:, :count],
            whole.mornings[:, :count], whole.same_day[:, :count], whole.before[:, :count],
        )  # fmt: skip
        found = primary(days)
        assert found.verdict is not None
        return found.verdict.grade, found.verdict.reasons, found.taken

    assert told(115) == told(130) == told(160)
    assert len(told(170)[2]) == len(told(160)[2]) + 1  # type: ignore[arg-type]


def as_stored(pairs: list[Pair]) -> dict[str, LookTaken]:
    """Their looks by input hash, through JSON and back."""
    looks = [LookTaken.known(json.loads(json.dumps(asdict(one)))) for p in pairs for one in p.taken]
    return {look.input_hash: look for look in looks if look is not None}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 1000),
    follows_pain=st.sampled_from([0.0, 0.5]),
    changed=st.lists(st.tuples(st.integers(0, 199), st.integers(0, 10)), max_size=3),
)
def test_what_stands_is_told_again_as_if_it_were_made_anew(
    seed: int, follows_pain: float, changed: list[tuple[int, int]]
) -> None:
    days = a_year(seed, follows_pain=follows_pain)
    known = as_stored(analyse(days, CHARGE, [OUTCOMES["pain_now"]]))
    for day, rating in changed:
        days.before[0, day] = rating
    anew = analyse(days, CHARGE, [OUTCOMES["pain_now"]])
    assert analyse(days, CHARGE, [OUTCOMES["pain_now"]], known=known) == anew


def test_what_stands_is_not_estimated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new day is beyond the last milestone, so nothing before it is fitted; one on the first day
    is part of every look."""
    fitted = []

    def fit(*arguments: Any) -> Slopes:
        fitted.append(arguments)
        return partial_slopes(*arguments)

    module = sys.modules["cymba.insights.statistics.associate"]  # its function bears its name
    monkeypatch.setattr(module, "partial_slopes", fit)
    days = a_year(1, follows_pain=0.5)
    pairs = analyse(days, CHARGE, [OUTCOMES["pain_now"]])
    at_first = len(fitted)
    fitted.clear()
    days.mornings[0, -1] = 1.0
    analyse(days, CHARGE, [OUTCOMES["pain_now"]], known=as_stored(pairs))
    # Of the evening and the next morning in one, which is not told here, nothing is kept.
    assert len(fitted) == 6 < at_first
    fitted.clear()
    days.before[0, 1] = 3.0
    analyse(days, CHARGE, [OUTCOMES["pain_now"]], known=as_stored(pairs))
    assert len(fitted) == at_first
