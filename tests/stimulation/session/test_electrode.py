"""When an electrode is called worn: never by one session, and by a rule that says its reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.stimulation.session.electrode import LEAST_SESSIONS, wear

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)


def daily(*ohms: float) -> list[tuple[datetime, float]]:
    return [(BEGAN + timedelta(days=day), ohm) for day, ohm in enumerate(ohms)]


@pytest.mark.parametrize(
    ("ohms", "state", "reason"),
    [
        ([3000, 3100, 2900, 3000, 3050, 2950], "good", None),
        ([3000, 3100, 2900, 5900, 6100, 6300], "replace_soon", "doubled"),
        ([9000, 9500, 9000, 11_000, 10_500, 12_000], "replace_soon", "high"),
        # 8 % more each day: not double yet, and within a week it is.
        ([3000 * 1.08**day for day in range(9)], "replace_soon", "rising"),
        ([3000 * 1.01**day for day in range(9)], "good", None),
        ([3000, 9000, 9000, 9000, 9000], "not_known", "too_few_sessions"),
    ],
)
def test_the_rule(ohms: list[float], state: str, reason: str | None) -> None:
    found = wear(daily(*ohms))
    assert (found.state, found.reason) == (state, reason)


def test_a_rise_is_told_where_it_is_sure() -> None:
    rising = wear(daily(*(3000 * 1.02**day for day in range(14))))
    assert rising.rise_per_week == pytest.approx(1.02**7 - 1)
    assert wear(daily(*(3000 + 300 * (-1) ** day for day in range(14)))).rise_per_week is None


@settings(max_examples=100)
@given(count=st.integers(LEAST_SESSIONS, 30), odd=st.floats(200, 20_000), data=st.data())
def test_one_odd_session_says_nothing(count: int, odd: float, data: st.DataObject) -> None:
    ohms = [3000.0] * count
    ohms[data.draw(st.integers(0, count - 1))] = odd
    assert wear(daily(*ohms)).state == "good"


@settings(max_examples=100)
@given(ohms=st.lists(st.floats(2500, 3500), min_size=LEAST_SESSIONS, max_size=30))
def test_an_electrode_is_worn_by_no_more_than_the_usual_changes(ohms: list[float]) -> None:
    assert wear(daily(*ohms)).reason in {None, "rising"}
