"""A batch taken in without a savepoint: the same, or nothing and an error that asks for one."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cymba.stimulation.ingest.decide import Delivery, Duplicate, Quarantined, Stored
from cymba.stimulation.ingest.ingest import NewStores, ingest

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
Batch = Callable[..., list[Delivery]]


@pytest.fixture
def batch(frame: Callable[..., Any], payload: Callable[..., bytes]) -> Batch:
    """Frames of `device-1` with these numbers."""

    def make(*seqs: int, **changes: Any) -> list[Delivery]:
        return [Delivery("device-1", payload(frame(seq, **changes)), AT, True) for seq in seqs]

    return make


@pytest.fixture
def savepoints(session: Session) -> list[str]:
    """Those that are made from now on."""
    made: list[str] = []
    event.listen(session.get_bind(), "savepoint", lambda _line, name: made.append(name))
    return made


def test_the_outcomes_are_those_of_a_guarded_batch(
    line: Any, batch: Batch, session: Session, savepoints: list[str]
) -> None:
    line.deliver(batch(1))
    savepoints.clear()
    ingested = ingest(session, batch(1, 2, 4) + batch(5, n=7), guarded=False)
    session.commit()
    kinds = [type(outcome) for outcome in ingested.outcomes]
    assert kinds == [Duplicate, Stored, Stored, Quarantined]
    ((device_id, ack),) = ingested.acks
    assert (device_id, ack.upto, ack.also) == ("device-1", 2, [(4, 5)])
    assert line.rows("SELECT seq FROM frame ORDER BY seq") == [(1,), (2,), (4,)]
    assert savepoints == []


def test_a_new_store_asks_for_the_guard_and_writes_nothing(
    line: Any, batch: Batch, session: Session
) -> None:
    with pytest.raises(NewStores):
        ingest(session, batch(1), guarded=False)
    session.rollback()
    assert line.rows("SELECT count(*) FROM flash_store") == [(0,)]
    line.deliver(batch(1))
    assert line.rows("SELECT seq FROM frame") == [(1,)]


def test_what_the_database_refuses_is_raised_and_costs_only_itself_once_guarded(
    line: Any, batch: Batch, session: Session
) -> None:
    line.deliver(batch(1))
    session.execute(text("ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)"))
    session.commit()
    with pytest.raises(IntegrityError):
        ingest(session, batch(2, 3, 4), guarded=False)
    session.rollback()
    assert line.rows("SELECT seq FROM frame") == [(1,)]
    line.deliver(batch(2, 3, 4))
    assert line.rows("SELECT seq FROM frame ORDER BY seq") == [(1,), (2,), (4,)]
