"""How long a session rests after a summary."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cymba.stimulation.session import summarising
from cymba.stimulation.session.waiting import dirty_sessions
from tests.stimulation.conftest import only_session, short_session
from tests.stimulation.worker_steps import summarise_due

pytestmark = pytest.mark.usefixtures("account_id")

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)  # when the fixtures deliver
Deliver = Callable[..., list[Any]]
Due = Callable[[float], int]


@pytest.fixture
def due(session: Session, delivered_at: datetime) -> Due:
    """How many sessions are due so many seconds after the frames came."""

    def count(after_s: float) -> int:
        now = delivered_at + timedelta(seconds=after_s)
        return len(dirty_sessions(session, now).sessions)

    return count


def test_an_open_session_rests_for_ten_seconds_and_is_due_at_once_with_its_end(
    session: Session, tape: Any, deliver: Deliver, due: Due
) -> None:
    first, second, third, end = short_session(tape).frames
    deliver(session, [first])
    assert due(0) == 1
    summarise_due(session, now=NOW)
    deliver(session, [second])
    deliver(session, [third])
    assert [due(9.9), due(10)] == [0, 1]
    deliver(session, [end])
    assert due(0.1) == 1
    summarise_due(session, now=NOW)
    assert only_session(session).state == "ended"
    assert due(1_000) == 0


def test_a_session_that_has_ended_has_no_second_end_that_is_due_at_once(
    session: Session, tape: Any, deliver: Deliver, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a device would make a worker read the same long session all the time."""
    monkeypatch.setattr(summarising, "REST_PER_FRAME", timedelta(seconds=2))
    written = tape().start().end().end()
    deliver(session, written.frames[:2])
    summarise_due(session, now=NOW)
    deliver(session, written.frames[2:])
    assert [due(3.9), due(4)] == [0, 1]


def test_a_session_whose_frames_were_all_read_rests_the_longer_the_more_there_are(
    session: Session, tape: Any, deliver: Deliver, due: Due, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summarising, "REST_PER_FRAME", timedelta(seconds=20))
    monkeypatch.setattr(summarising, "LONGEST_REST", timedelta(seconds=50))
    written = tape().start().samples().samples().samples()
    deliver(session, written.frames[:2])
    summarise_due(session, now=NOW)
    deliver(session, written.frames[3:])
    assert [due(39.9), due(40)] == [0, 1]
    summarise_due(session, now=NOW)  # this one follows, so it costs nothing
    assert [due(9.9), due(10)] == [0, 1]
    deliver(session, written.frames[2:3])
    summarise_due(session, now=NOW)
    assert [due(49.9), due(50)] == [0, 1]
