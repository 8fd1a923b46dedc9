"""Which answer belongs to which session."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np

from cymba.insights.days import EntryFact
from cymba.insights.exposures import SessionFact
from cymba.insights.side_effects import side_effects
from cymba.insights.statistics import Course

BEGAN = datetime(2026, 5, 1, 18, tzinfo=UTC)
YES, NO = {"cough": {"severity": "severe"}}, {"cough": {"severity": "none"}}


def session(day: float) -> SessionFact:
    at = BEGAN + timedelta(days=day)
    return SessionFact(at, at, at + timedelta(minutes=30), 900.0, id=uuid4())


def entry(day: float, items: dict, session_id=None) -> EntryFact:
    at = BEGAN + timedelta(days=day)
    return EntryFact(at, at, items, session_id)


def present(sessions, entries) -> list:
    found = [one for one in side_effects(sessions, entries) if one.outcome.name == "cough"]
    return found[0].present.tolist() if found else []


def test_an_answer_is_about_the_last_session_before_it_for_a_day() -> None:
    sessions = [session(0), session(1), session(5)]
    entries = [entry(0.1, YES), entry(1.9, NO), entry(3, YES), entry(4.9, YES)]
    np.testing.assert_equal(present(sessions, entries), [1, 0, np.nan])


def test_an_answer_before_the_first_session_is_about_none() -> None:
    assert present([session(0)], [entry(-0.1, YES)]) == []


def test_the_session_that_is_named_counts_and_an_unknown_one_is_no_other() -> None:
    sessions = [session(0), session(1)]
    named = entry(1.1, YES, sessions[0].id)
    np.testing.assert_equal(present(sessions, [named]), [1, np.nan])
    assert present(sessions, [entry(1.1, YES, uuid4())]) == []


def test_one_yes_is_a_yes_in_any_order() -> None:
    both = [entry(0.1, YES), entry(0.2, NO)]
    assert present([session(0)], both) == present([session(0)], both[::-1]) == [1]


def test_sessions_in_any_order_are_numbered_by_time() -> None:
    first, second = session(0), session(1)
    entries = [entry(0.1, YES), entry(1.1, NO)]
    assert present([second, first], entries) == [1, 0]


def test_a_fading_one_is_found() -> None:
    sessions = [session(day) for day in range(80)]
    yes = {*range(10), 11, 14}
    entries = [entry(day + 0.1, YES if day in yes else NO) for day in range(80)]
    (found,) = side_effects(sessions, entries)
    assert found.trend.course is Course.FADING
    assert found.p < 0.02
    assert found.present.size == 80


def test_between_milestones_only_the_counts_move() -> None:
    sessions = [session(day) for day in range(40)]
    entries = [entry(day + 0.1, YES if day < 10 else NO) for day in range(40)]
    (then,), (now,) = (side_effects(sessions, entries[:upto]) for upto in (30, 39))
    assert (then.answers, now.answers) == (30, 39)
    assert then.yes == now.yes == 10
    assert then.trend == now.trend
    assert then.trend.n == 28
    assert then.input_hash == now.input_hash
    assert then.shown_hash != now.shown_hash  # the dots of a picture are of today
    (later,) = side_effects(sessions, entries)
    assert later.trend.n == 40
    assert later.input_hash != now.input_hash
