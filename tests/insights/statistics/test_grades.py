from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cymba.insights.statistics import (
    Direction,
    Fit,
    Grade,
    MoreDays,
    Reason,
    Tier,
    grade,
    more_days,
)
from cymba.insights.statistics.associate import LOOK_ALPHA
from cymba.insights.statistics.sequential import next_milestone

NAN = float("nan")
CLEAR = Fit(
    effect=-1.4,
    se=0.2,
    low=-2.0,
    high=-0.8,
    df=60,
    n=80,
    pairs_now=85,
    days=120,
    sequential_p=0.001,
    tier=Tier.PRIMARY,
    tier_passed=True,
    half_signs=(-1, -1),
    direction=Direction.LOWER_IS_BETTER,
    minimal_difference=1.0,
)


def test_strong() -> None:
    verdict = grade(CLEAR)
    assert verdict.grade is Grade.STRONG
    assert verdict.reasons == (
        Reason.SEQUENTIAL_P,
        Reason.TIER_TEST_PASSED,
        Reason.HALVES_AGREE,
        Reason.VERY_SMALL_P,
    )
    assert verdict.more_days is None


@pytest.mark.parametrize(
    ("change", "expected", "reason"),
    [
        ({"n": 0, "effect": NAN, "se": NAN, "pairs_now": 14}, Grade.COLLECTING, Reason.FEW_PAIRS),
        ({"n": 27}, Grade.COLLECTING, Reason.FEW_PAIRS),
        ({"effect": NAN, "se": NAN, "low": NAN, "high": NAN}, Grade.NOT_ENOUGH, Reason.REFUSED),
        ({"low": -0.9, "high": -0.1}, Grade.NO_CLEAR_LINK, Reason.WITHIN_MINIMAL_DIFFERENCE),
        ({"low": -1.0, "high": 1.0}, Grade.NO_CLEAR_LINK, Reason.WITHIN_MINIMAL_DIFFERENCE),
        ({"tier_passed": False, "sequential_p": 0.2}, Grade.NOT_ENOUGH, Reason.INTERVAL_WIDE),
        ({"tier_passed": False, "sequential_p": 0.1}, Grade.EARLY_SIGNAL, Reason.SEQUENTIAL_P),
        ({"half_signs": (-1, 1)}, Grade.EARLY_SIGNAL, Reason.HALVES_DISAGREE),
        ({"sequential_p": 0.011}, Grade.MODERATE, Reason.TIER_TEST_PASSED),
        ({"n": 40}, Grade.MODERATE, Reason.SHORT),
        ({"effect": -0.3, "low": -1.2, "high": 0.6}, Grade.MODERATE, Reason.INTERVAL_WIDE),
        ({"n": 56, "sequential_p": 0.01}, Grade.STRONG, Reason.VERY_SMALL_P),
        ({"half_signs": (0, -1)}, Grade.STRONG, Reason.HALVES_AGREE),
        ({"effect": 1.4, "low": 0.8, "high": 2.0}, Grade.EARLY_SIGNAL, Reason.MORE_IS_WORSE),
        ({"direction": Direction.HIGHER_IS_BETTER}, Grade.EARLY_SIGNAL, Reason.MORE_IS_WORSE),
    ],
)
def test_each_grade_has_its_reason(
    change: dict[str, object], expected: Grade, reason: Reason
) -> None:
    verdict = grade(replace(CLEAR, **change))  # type: ignore[arg-type]
    assert verdict.grade is expected
    assert reason in verdict.reasons


@pytest.mark.parametrize(
    "change",
    [{}, {"low": -0.9, "high": -0.1}, {"sequential_p": 0.011}, {"effect": 1.4, "high": 2.0},
     {"tier": Tier.EXPLORATORY}],
)  # fmt: skip
def test_where_use_follows_the_rating_nothing_is_more_than_an_early_signal(
    change: dict[str, object],
) -> None:
    """In either direction, and that there is no clear link just as little."""
    follows = replace(CLEAR, follows=Reason.USE_FOLLOWS_PAIN, **change)  # type: ignore[arg-type]
    verdict = grade(follows)
    assert verdict.grade is Grade.EARLY_SIGNAL
    assert verdict.reasons[-1] is Reason.USE_FOLLOWS_PAIN
    assert verdict.more_days is None


def test_no_number_of_days_is_promised_where_only_a_trial_can_tell() -> None:
    unclear = replace(CLEAR, tier_passed=False, sequential_p=0.5)
    assert grade(unclear).more_days is not None
    verdict = grade(replace(unclear, follows=Reason.USE_FOLLOWS_RATING))
    assert (verdict.grade, verdict.more_days) == (Grade.NOT_ENOUGH, None)
    assert verdict.reasons == (Reason.INTERVAL_WIDE, Reason.USE_FOLLOWS_RATING)


def test_exploratory_pairs_have_no_early_signal() -> None:
    exploratory = replace(CLEAR, tier=Tier.EXPLORATORY)
    assert grade(exploratory).grade is Grade.STRONG
    assert grade(replace(exploratory, tier_passed=False)).grade is Grade.NOT_ENOUGH
    assert grade(replace(exploratory, half_signs=(1, -1))).grade is Grade.NOT_ENOUGH


def test_higher_may_be_the_better() -> None:
    mood = replace(
        CLEAR,
        effect=1.4,
        low=0.8,
        high=2.0,
        direction=Direction.HIGHER_IS_BETTER,
        half_signs=(1, 1),
    )
    assert grade(mood).grade is Grade.STRONG


def test_only_an_own_trial_is_tested() -> None:
    verdict = grade(replace(CLEAR, n=0), own_trial=True)
    assert (verdict.grade, verdict.reasons) == (Grade.TESTED, (Reason.OWN_TRIAL,))


numbers = st.floats(-10, 10) | st.just(NAN)


@given(
    effect=numbers,
    se=st.floats(0, 10) | st.just(NAN),
    low=numbers,
    high=numbers,
    n=st.integers(0, 13),
    pairs=st.integers(0, 14),
    passed=st.booleans(),
    p=st.floats(0, 1),
)
def test_fourteen_days_are_always_collecting(
    effect: float, se: float, low: float, high: float, n: int, pairs: int, passed: bool, p: float
) -> None:
    fit = replace(
        CLEAR,
        effect=effect,
        se=se,
        low=low,
        high=high,
        n=n,
        pairs_now=pairs,
        days=14,
        tier_passed=passed,
        sequential_p=p,
    )
    assert grade(fit).grade is Grade.COLLECTING


@given(
    st.builds(
        Fit,
        effect=st.floats(0, 9),
        se=st.floats(0.01, 3),
        low=numbers,
        high=numbers,
        df=st.floats(10, 300),
        n=st.integers(0, 640),
        pairs_now=st.integers(0, 700),
        days=st.integers(0, 2000),
        sequential_p=st.floats(0, 1),
        tier=st.sampled_from(Tier),
        tier_passed=st.booleans(),
        half_signs=st.tuples(*[st.sampled_from((-1, 0, 1))] * 2),
        direction=st.just(Direction.LOWER_IS_BETTER),
        minimal_difference=st.floats(0, 3),
        follows=st.sampled_from((None, Reason.USE_FOLLOWS_PAIN)),
    )
)
def test_more_is_worse_never_passes_an_early_signal(fit: Fit) -> None:
    if fit.effect > 0:
        assert grade(fit).grade not in (Grade.MODERATE, Grade.STRONG, Grade.TESTED)
    more = more_days(fit)
    assert more is None or 1 <= more.low <= more.high


def test_more_days_while_collecting() -> None:
    # 14 pairs in 21 days: 14 more at 1.5 days each, times .4 to 2.06, and never under 14
    fit = replace(CLEAR, n=0, effect=NAN, se=NAN, pairs_now=14, days=21)
    assert more_days(fit) == MoreDays(14, ceil(21 * 2.06))


def test_more_days_until_the_interval_is_narrow() -> None:
    fit = replace(CLEAR, se=0.6, tier_passed=False, sequential_p=0.5, pairs_now=80, days=100)
    needed = 80 * (stats.t.ppf(1 - LOOK_ALPHA / 2, 60) * 0.6 / 1.0) ** 2
    assert 112 < 0.54 * needed < 160
    assert 320 < 2.06 * needed < 448
    assert grade(fit).more_days == MoreDays(80, ceil(2.06 * (448 - 80) * 100 / 80))


@pytest.mark.parametrize(("pairs_now", "days", "truly"), [(67, 120, 24), (53, 942, 54)])
def test_the_days_to_the_next_look_are_no_fewer_than_the_pace_so_far_takes(
    pairs_now: int, days: int, truly: int
) -> None:
    """The interval is nearly narrow enough, and yet nothing moves before the next milestone."""
    fit = replace(CLEAR, n=40, se=0.2, pairs_now=pairs_now, days=days)
    said = more_days(fit)
    assert said is not None
    assert said.low <= truly <= said.high


@settings(max_examples=60)
@given(
    pairs_now=st.integers(56, 639),
    pace=st.floats(0.2, 1.0),
    se=st.floats(0.2, 0.8),
)
def test_more_days_hold_the_day_on_which_the_next_look_comes(
    pairs_now: int, pace: float, se: float
) -> None:
    days = ceil(pairs_now / pace)
    fit = replace(CLEAR, n=56, se=se, pairs_now=pairs_now, days=days)
    said = more_days(fit)
    assert said is None or said.high >= (next_milestone(pairs_now) - pairs_now) * days / pairs_now  # type: ignore[operator]


def test_no_number_of_days_is_promised_where_none_would_do() -> None:
    assert more_days(replace(CLEAR, n=640, pairs_now=640, days=900)) is None
    assert more_days(replace(CLEAR, se=40.0)) is None
    assert more_days(replace(CLEAR, minimal_difference=0.0)) is None
    assert more_days(replace(CLEAR, minimal_difference=5e-324)) is None
    assert more_days(replace(CLEAR, n=0, pairs_now=0, days=0)) is None
