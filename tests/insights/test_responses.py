"""Which days are the baseline and which the present."""

from datetime import UTC, date, datetime, timedelta

import pytest

from cymba.insights.days import EntryFact
from cymba.insights.exposures import SessionFact
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.responses import compare, compare_all
from cymba.insights.statistics import ResponseGrade, response

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


def test_scales_where_more_is_better_and_side_effects_are_not_compared() -> None:
    at = datetime(2026, 1, 1, 8, tzinfo=UTC)
    items = {"pain_now": 3, "mood": 4, "cough": {"severity": "mild"}, "anxiety": 2}
    used = SessionFact(at, at, at, 900.0)
    found = compare_all([used], [EntryFact(at, at, items)], today=FIRST)
    assert {one.outcome.name for one in found} == {"pain_now", "anxiety"}
    assert compare_all([], [], today=FIRST) == []
