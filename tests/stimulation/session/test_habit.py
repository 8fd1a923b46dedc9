from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from cymba.stimulation.session.habit import habit
from cymba.stimulation.tables import StimulationSession

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def test_the_usual_hour_is_the_median_of_the_days_first_sessions(
    session: Session, account_id: UUID, add: Callable[..., StimulationSession]
) -> None:
    starts = [NOW - timedelta(days=back, hours=-4, minutes=back) for back in (2, 3, 5)]
    for start in (*starts, starts[0] + timedelta(hours=3), NOW - timedelta(days=60)):
        add(start)
    found = habit(session, account_id, BERLIN, now=NOW)
    assert found.usual_start == time(17, 0)
    assert found.days == {date(2026, 3, day) for day in (15, 17, 18)}


def test_two_days_are_no_habit(
    session: Session, account_id: UUID, add: Callable[..., StimulationSession]
) -> None:
    for back in (1, 2):
        add(NOW - timedelta(days=back))
    assert habit(session, account_id, BERLIN, now=NOW).usual_start is None
