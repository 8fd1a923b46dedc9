"""Which days are the baseline and which the present."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from cymba.insights.days import EntryFact
from cymba.insights.exposures import SessionFact
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.responses import compare, compare_all
from cymba.insights.sentences import of_response
from cymba.insights.statistics import ResponseGrade, response, response_in_points
from cymba.insights.words import DISCLAIMER
from cymba.voice import Voice

FIRST = date(2026, 1, 1)
PAIN = OUTCOMES["pain_now"]


def rated(day: int, pain: int, hour: int = 8) -> EntryFact:
    at = datetime(2026, 1, 1, hour, tzinfo=UTC) + timedelta(days=day)
    return EntryFact(at, at, {"pain_now": pain})


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def months(days: int, before: int, now: int, change: int) -> list[EntryFact]:
    """Ratings that swing by one point, around `before` and from day `change` on around `now`."""
    return [rated(d, (before if d < change else now) + d % 3 - 1) for d in range(days)]


def test_the_days_before_the_first_session_are_the_baseline_if_there_are_enough() -> None:
    found = compare(PAIN, months(100, 8, 3, 20), first_use=day(20), today=day(99))
    assert found is not None
    assert (found.kind, found.baseline.first_day, found.baseline.last_day) == (
        "before_first_session", day(0), day(19),
    )  # fmt: skip
    assert (found.current.first_day, found.current.last_day) == (day(62), day(89))
    assert found.response.grade in (ResponseGrade.CONFIRMED, ResponseGrade.LIKELY)
    assert found.response.baseline_n == 17  # the first three days are dropped


@pytest.mark.parametrize(
    ("now", "grade", "said"),
    [
        (7, ResponseGrade.BETTER, "points higher than in your first weeks"),
        (1, ResponseGrade.WORSE, "points lower than in your first weeks"),
        (4, ResponseGrade.NO_CLEAR_CHANGE, "has not clearly changed from your first weeks"),
    ],
)
def test_where_higher_is_better_it_is_told_in_points(
    now: int, grade: ResponseGrade, said: str
) -> None:
    """A share of a mood means nothing: 0 is the worst of it and not none."""
    entries = [
        one._replace(items={"mood": one.items["pain_now"]}) for one in months(100, 4, now, 20)
    ]
    [found] = compare_all([], entries, today=day(99))
    compared = found.response
    assert compared.grade is grade
    assert math.isnan(compared.change_ratio)
    assert compared.threshold is None
    assert compared.change_points == pytest.approx(compared.current_mean - compared.baseline_mean)
    told = of_response(Voice.of("en"), found.outcome, compared, until=day(97))
    assert said in told
    assert "%" not in told
    assert told.endswith(DISCLAIMER) == (grade is not ResponseGrade.NO_CLEAR_CHANGE)


def test_the_interval_in_points_leaves_0_out_where_the_ratio_leaves_out_1() -> None:
    rng = np.random.default_rng(11)
    for _ in range(200):
        then, now = rng.normal(5, 1, 28), rng.normal(rng.uniform(3, 7), 1, 28)
        share, points = response(then, now), response_in_points(then, now)
        assert (share.high < 0) == (points.points_high < 0)
        assert (share.low > 0) == (points.points_low > 0)


@pytest.mark.parametrize("first_use", [None, day(0), day(13)])
def test_else_the_first_four_weeks_are(first_use: date | None) -> None:
    found = compare(PAIN, months(100, 8, 3, 20), first_use=first_use, today=day(99))
    assert found is not None
    assert (found.kind, found.baseline.last_day) == ("first_weeks", day(27))


@pytest.mark.parametrize("days", [1, 20, 28, 35, 41])
def test_the_two_periods_never_share_a_day(days: int) -> None:
    found = compare(PAIN, months(days, 6, 6, 0), first_use=None, today=day(days - 1))
    assert found is not None
    assert found.current.values.size <= max(0, days - 28)
    assert found.response.grade is ResponseGrade.NOT_ENOUGH


def test_the_present_ends_with_the_last_look_not_with_the_last_rating() -> None:
    found = compare(PAIN, months(60, 8, 3, 20), first_use=day(20), today=day(120))
    assert found is not None
    assert found.current.last_day == day(117)
    assert found.response.grade is ResponseGrade.NOT_ENOUGH


def test_between_looks_nothing_moves() -> None:
    """Read daily, it is another comparison only every four weeks from day 42 on."""
    entries = months(160, 8, 3, 60)
    told = {}
    for today in range(160):
        end = entries[0].felt_at + timedelta(days=today + 1)
        so_far = [one for one in entries if one.felt_at < end]
        found = compare(PAIN, so_far, first_use=None, today=day(today))
        assert found is not None
        told[today] = (found.input_hash, str(found.response))
        assert today >= 41 or found.response.grade is ResponseGrade.NOT_ENOUGH
    moved = [today for today in range(42, 160) if told[today] != told[today - 1]]
    assert moved == [69, 97, 125, 153]


@pytest.mark.parametrize("first_use", [None, day(20)])
@pytest.mark.parametrize("old", [-20_000, -90])
def test_a_single_old_rating_is_no_baseline(first_use: date | None, old: int) -> None:
    """An entry of 1970, or one rating three months before the diary begins."""
    entries = months(120, 8, 3, 20)
    alone = compare(PAIN, entries, first_use=first_use, today=day(99))
    found = compare(PAIN, [rated(old, 8), *entries], first_use=first_use, today=day(99))
    assert alone is not None
    assert found is not None
    assert found.response.grade is not ResponseGrade.NOT_ENOUGH
    assert (found.baseline.first_day, found.response) == (day(0), alone.response)


def test_a_look_has_a_level_of_its_own() -> None:
    found = compare(PAIN, months(100, 8, 5, 30), first_use=None, today=day(97))
    assert found is not None
    at_05 = response(found.baseline.values, found.current.values)
    assert found.response.change_ratio == at_05.change_ratio
    assert found.response.low < at_05.low < at_05.high < found.response.high


def test_a_day_is_the_mean_of_its_ratings_and_begins_at_four() -> None:
    entries = [rated(0, 2), rated(0, 4, hour=20), rated(1, 9, hour=2)]
    found = compare(PAIN, entries, first_use=None, today=day(2))
    assert found is not None
    assert found.whole.values[0] == 5
    assert found.whole.values.size == 3


def test_what_is_not_rated_in_points_is_not_compared() -> None:
    at = datetime(2026, 1, 1, 8, tzinfo=UTC)
    items = {"pain_now": 3, "mood": 4, "cough": {"severity": "mild"}, "sleep_hours": 7.5}
    used = SessionFact(at, at, at, 900.0)
    found = compare_all([used], [EntryFact(at, at, items)], today=FIRST)
    assert {one.outcome.name for one in found} == {"pain_now", "mood"}
    assert compare_all([], [], today=FIRST) == []
