from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.devices.tables import DevicePresence, DeviceTenure
from cymba.errors import Rejected
from cymba.stimulation.session.history import MAX_DAYS, HistoryPeriod
from tests.histories import history

DEVICE = "device-0001"
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def drain(session: Session) -> Callable[[datetime], None]:
    """Says that the device had uploaded all it had recorded by a time."""

    def say(at: datetime) -> None:
        row = session.get(DevicePresence, DEVICE) or DevicePresence(
            device_id=DEVICE, online=True, store=7, boot=1, sent_ms=0, changed_at=at, seen_at=at
        )
        row.drained_at = at
        session.add(row)
        session.flush()

    return say


def day(session: Session, account_id: UUID, on: date) -> HistoryPeriod:
    found = history(line_of(session), account_id, "day", on, on)
    assert [(one.first_day, one.last_day) for one in found] == [(on, on)]
    return found[0]


def test_sessions_add_up_on_the_local_day_they_started_on(
    session: Session, account_id: UUID, add: Callable[..., Any], drain: Callable[..., None]
) -> None:
    add(datetime(2026, 3, 10, 0, 10, tzinfo=BERLIN))  # still the 9th in UTC
    add(datetime(2026, 3, 10, 23, 50, tzinfo=BERLIN))  # runs past midnight
    drain(datetime(2026, 3, 12, tzinfo=UTC))
    assert day(session, account_id, date(2026, 3, 10)) == HistoryPeriod(
        first_day=date(2026, 3, 10),
        last_day=date(2026, 3, 10),
        sessions=2,
        sessions_written=0,
        stimulating_min=30.0,
        delivered_charge_mc=22.5,
        days_with_session=1,
        days_known=1,
        adherence=1.0,
        complete=True,
    )
    for on in (date(2026, 3, 9), date(2026, 3, 11)):
        found = day(session, account_id, on)
        assert (found.sessions, found.adherence, found.complete) == (0, 0.0, True)


def test_no_session_is_not_the_same_as_not_uploaded_yet(
    session: Session, account_id: UUID, drain: Callable[..., None]
) -> None:
    unknown = day(session, account_id, date(2026, 3, 10))
    assert unknown.sessions is unknown.stimulating_min is unknown.delivered_charge_mc is None
    assert (unknown.adherence, unknown.complete, unknown.days_known) == (None, False, 0)
    drain(datetime(2026, 3, 10, 22, 59, tzinfo=UTC))  # a minute before Berlin's midnight
    assert day(session, account_id, date(2026, 3, 10)).sessions is None
    drain(datetime(2026, 3, 10, 23, 0, tzinfo=UTC))
    none = day(session, account_id, date(2026, 3, 10))
    assert (none.sessions, none.stimulating_min, none.delivered_charge_mc) == (0, 0.0, 0.0)
    assert none.complete


def test_what_was_recorded_before_the_latest_session_is_uploaded_too(
    session: Session, account_id: UUID, add: Callable[..., Any]
) -> None:
    add(datetime(2026, 3, 12, 9, 0, tzinfo=BERLIN))
    assert day(session, account_id, date(2026, 3, 11)).sessions == 0
    today = day(session, account_id, date(2026, 3, 12))
    assert (today.sessions, today.complete) == (1, False)
    assert day(session, account_id, date(2026, 3, 13)).sessions is None


def test_of_days_without_a_device_nothing_is_known(
    session: Session, account_id: UUID, drain: Callable[..., None]
) -> None:
    drain(datetime(2026, 3, 12, tzinfo=UTC))
    assert day(session, account_id, date(2025, 12, 30)).sessions is None
    assert day(session, account_id, date(2026, 1, 2)).sessions == 0


def test_every_device_of_the_day_must_have_uploaded(
    session: Session,
    account_id: UUID,
    device: Callable[..., str],
    drain: Callable[..., None],
) -> None:
    drain(datetime(2026, 3, 12, tzinfo=UTC))
    other = device(session, account_id, "device-0002")
    assert day(session, account_id, date(2026, 3, 10)).sessions is None
    tenure = session.query(DeviceTenure).filter_by(device_id=other).one()
    tenure.released_at = datetime(2026, 3, 5, tzinfo=UTC)
    session.flush()
    assert day(session, account_id, date(2026, 3, 10)).sessions == 0
    assert day(session, account_id, date(2026, 3, 4)).sessions is None


def test_days_follow_the_clocks_of_summer(
    session: Session, account_id: UUID, add: Callable[..., Any], drain: Callable[..., None]
) -> None:
    # Berlin, 29 March 2026, is 23 hours long: from 23:00 UTC to 22:00 UTC.
    add(datetime(2026, 3, 28, 23, 0, tzinfo=UTC))
    add(datetime(2026, 3, 29, 21, 59, tzinfo=UTC))
    add(datetime(2026, 3, 29, 22, 0, tzinfo=UTC))
    # 25 October is 25 hours long: from 22:00 UTC to 23:00 UTC.
    add(datetime(2026, 10, 24, 22, 0, tzinfo=UTC))
    add(datetime(2026, 10, 25, 22, 59, tzinfo=UTC))
    add(datetime(2026, 10, 25, 23, 0, tzinfo=UTC))
    drain(datetime(2026, 12, 1, tzinfo=UTC))
    counts = {
        one.first_day: one.sessions
        for one in history(
            line_of(session), account_id, "day", date(2026, 3, 28), date(2026, 10, 26)
        )
        if one.sessions
    }
    assert counts == {
        date(2026, 3, 29): 2,
        date(2026, 3, 30): 1,
        date(2026, 10, 25): 2,
        date(2026, 10, 26): 1,
    }


def test_a_session_keeps_the_zone_its_person_was_in(
    session: Session, account_id: UUID, add: Callable[..., Any]
) -> None:
    at = datetime(2026, 3, 10, 14, 0, tzinfo=UTC)
    add(at, "Pacific/Kiritimati")  # UTC+14: the 11th
    add(at, "Pacific/Pago_Pago")  # UTC-11: the 10th
    assert day(session, account_id, date(2026, 3, 10)).sessions == 1
    assert day(session, account_id, date(2026, 3, 11)).sessions == 1


def test_weeks_begin_on_monday_and_come_whole(
    session: Session, account_id: UUID, add: Callable[..., Any], drain: Callable[..., None]
) -> None:
    add(datetime(2026, 3, 2, 9, tzinfo=BERLIN))  # a Monday
    add(datetime(2026, 3, 8, 9, tzinfo=BERLIN))
    add(datetime(2026, 3, 8, 19, tzinfo=BERLIN))
    drain(datetime(2026, 3, 11, 12, tzinfo=UTC))
    first, second = history(
        line_of(session), account_id, "week", date(2026, 3, 5), date(2026, 3, 9)
    )
    assert (first.first_day, first.last_day) == (date(2026, 3, 2), date(2026, 3, 8))
    assert (first.sessions, first.days_with_session, first.days_known) == (3, 2, 7)
    assert first.adherence == pytest.approx(2 / 7)
    assert first.complete
    assert (second.first_day, second.sessions, second.days_known) == (date(2026, 3, 9), 0, 2)
    assert (second.adherence, second.complete) == (0.0, False)


@pytest.mark.parametrize(
    ("on", "last"),
    [(date(2026, 2, 14), 28), (date(2028, 2, 1), 29), (date(2026, 12, 31), 31)],
)
def test_months_come_whole(session: Session, account_id: UUID, on: date, last: int) -> None:
    (found,) = history(line_of(session), account_id, "month", on, on)
    assert (found.first_day.day, found.last_day.day) == (1, last)
    assert found.last_day.month == on.month


def test_an_unknown_charge_is_not_zero(
    session: Session, account_id: UUID, add: Callable[..., Any]
) -> None:
    add(datetime(2026, 3, 10, 9, tzinfo=BERLIN), charge_uc=None)
    assert day(session, account_id, date(2026, 3, 10)).delivered_charge_mc is None
    add(datetime(2026, 3, 10, 12, tzinfo=BERLIN), charge_uc=1_000.0)
    assert day(session, account_id, date(2026, 3, 10)).delivered_charge_mc == 1.0


def test_deleted_sessions_and_other_peoples_do_not_count(
    session: Session, account_id: UUID, add: Callable[..., Any], person: Callable[..., UUID]
) -> None:
    at = datetime(2026, 3, 10, 9, tzinfo=BERLIN)
    add(at, deleted_at=at.astimezone(UTC))
    add(at, account_id=person(session, "other@example.org"))
    assert day(session, account_id, date(2026, 3, 10)).sessions is None


Row = tuple[datetime, str, float | None, float | None, bool]
MOMENTS = st.integers(0, 70 * 96).map(
    lambda quarters: datetime(2026, 2, 20, tzinfo=UTC) + timedelta(minutes=15 * quarters)
)
ZONES = st.sampled_from(["Europe/Berlin", "Pacific/Auckland", "America/Havana", "Asia/Kathmandu"])
KNOWN = st.none() | st.floats(0, 1e6)
ROWS = st.lists(st.tuples(MOMENTS, ZONES, KNOWN, KNOWN, st.booleans()), max_size=12)


def in_one_pass(rows: list[Row], days: list[date], *, complete: bool) -> list[Any]:
    """What is known of these days of one period, in plain words."""
    done = [
        row for row in rows if row[0].astimezone(ZoneInfo(row[1])).date() in days and not row[4]
    ]
    active = len({row[0].astimezone(ZoneInfo(row[1])).date() for row in done})
    known = len(days) if complete else active
    seconds = [seconds for _, _, seconds, _, _ in done if seconds is not None]
    charges = [charge_uc for _, _, _, charge_uc, _ in done if charge_uc is not None]
    return [
        days[0],
        days[-1],
        len(done) if known else None,
        0 if known else None,
        pytest.approx(sum(seconds) / 60) if known and (seconds or not done) else None,
        pytest.approx(sum(charges) / 1000) if known and (charges or not done) else None,
        active,
        known,
        active / known if known else None,
        complete,
    ]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, st.sampled_from(["day", "week", "month", "whole"]), st.integers(0, 60), st.booleans())
def test_a_period_is_what_one_pass_over_its_sessions_gives(
    session: Session,
    account_id: UUID,
    add: Callable[..., Any],
    drain: Callable[..., None],
    person: Callable[..., UUID],
    rows: list[Row],
    period: Any,
    length: int,
    holds_device: bool,
) -> None:
    first = date(2026, 2, 25)
    last = first + timedelta(days=length)
    with session.begin_nested() as nested:
        drain(datetime(2026, 12, 1, tzinfo=UTC))
        whose = account_id if holds_device else person(session, "nothing@example.org")
        for at, zone, seconds, charge_uc, is_deleted in rows:
            deleted_at = at if is_deleted else None
            more = {"stimulating_s": seconds, "deleted_at": deleted_at, "account_id": whose}
            add(at, zone, charge_uc, **more)
        found = history(line_of(session), whose, period, first, last)
        nested.rollback()
    name: Callable[[date], Any] = {
        "day": date.toordinal,
        "week": lambda day: day.isocalendar()[:2],
        "month": lambda day: (day.year, day.month),
        "whole": lambda _: 0,
    }[period]
    around = [first + timedelta(days=after) for after in range(-60, length + 60)]
    asked = {name(day) for day in around if first <= day <= last}
    days = [day for day in around if name(day) in asked]
    if period == "whole":
        days = [day for day in days if first <= day <= last]
    expected = [
        in_one_pass(rows, list(of_period), complete=holds_device)
        for _, of_period in groupby(days, key=name)
    ]
    assert [list(one) for one in found] == expected


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2026, 3, 2), date(2026, 3, 1)),
        (date(2026, 3, 1), date(2026, 3, 1) + timedelta(days=MAX_DAYS)),
        (date.min, date.min),
        (date.max, date.max),
    ],
)
def test_refuses_days_that_make_no_history(
    session: Session, account_id: UUID, first: date, last: date
) -> None:
    with pytest.raises(Rejected):
        history(line_of(session), account_id, "day", first, last)
