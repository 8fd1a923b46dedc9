"""One way into the database, by one transaction; and one place that finds who spoils it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cymba.stimulation.ingest import decide
from cymba.stimulation.ingest.decide import Delivery, Refused, Stored
from cymba.stimulation.ingest.halving import by_halves
from cymba.stimulation.ingest.ingest import ingest
from tests.stimulation.ingest.conftest import Uplink

AT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
Batch = Callable[..., list[Delivery]]


@pytest.fixture
def batch(frame: Callable[..., Any], payload: Callable[..., bytes]) -> Batch:
    """Frames of `device-1` with these numbers."""

    def make(*seqs: int, **changes: Any) -> list[Delivery]:
        return [Delivery("device-1", payload(frame(seq, **changes)), AT, True) for seq in seqs]

    return make


class Spoilt(Exception):
    pass


@given(st.lists(st.booleans(), max_size=40))
def test_each_is_committed_once_but_for_those_at_fault(is_bad: list[bool]) -> None:
    committed: list[int] = []
    tries = 0

    def commit(part: Sequence[int]) -> list[int]:
        nonlocal tries
        tries += 1
        if any(is_bad[one] for one in part):
            raise Spoilt
        committed.extend(part)
        return list(part)

    results = by_halves(
        range(len(is_bad)), commit, lambda one: [-one], lambda error: isinstance(error, Spoilt)
    )
    assert committed == [one for one, bad in enumerate(is_bad) if not bad]
    assert [one for part in results for one in part] == [
        -one if bad else one for one, bad in enumerate(is_bad)
    ]
    assert tries <= 1 + 2 * sum(is_bad) * max(1, len(is_bad)).bit_length()


def test_what_is_no_fault_of_the_batch_ends_it() -> None:
    def commit(_: object) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        by_halves([1, 2], commit, lambda _: None, lambda error: isinstance(error, Spoilt))


def test_a_batch_takes_no_savepoint_though_it_begins_a_store(
    session: Session, line: Uplink, batch: Batch
) -> None:
    savepoints: list[str] = []
    event.listen(session.get_bind(), "savepoint", lambda _connection, name: savepoints.append(name))
    line.deliver(batch(1) + batch(1, store=8))
    line.deliver(batch(1, 2) + batch(1, store=9))
    assert line.rows("SELECT store, seq FROM frame ORDER BY 1, 2") == [
        (7, 1),
        (7, 2),
        (8, 1),
        (9, 1),
    ]
    assert savepoints == []


def test_what_the_database_refuses_is_raised_and_costs_only_itself(
    session: Session, line: Uplink, batch: Batch
) -> None:
    line.deliver(batch(1))
    session.execute(text("ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)"))
    session.commit()
    with pytest.raises(IntegrityError):
        ingest(session, batch(2, 3, 4))
    session.rollback()
    assert line.rows("SELECT seq FROM frame") == [(1,)]
    outcomes = line.deliver(batch(2, 3, 4)).outcomes
    assert [type(outcome) for outcome in outcomes] == [Stored, Refused, Stored]
    assert line.rows("SELECT seq FROM frame ORDER BY seq") == [(1,), (2,), (4,)]


def test_a_payload_is_read_once_however_often_it_is_tried(
    session: Session, line: Uplink, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []

    def count(payload: bytes) -> Any:
        read.append(payload)
        return original(payload)

    original = decide.receive  # type: ignore[attr-defined]
    monkeypatch.setattr(decide, "receive", count)
    session.execute(text("ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)"))
    session.commit()
    line.deliver(batch(*range(1, 9)))
    assert len(read) == 8


@pytest.mark.parametrize("device_id", ["device-2", "device-unknown"])
def test_the_payload_of_nobodys_device_is_not_read(
    line: Uplink, monkeypatch: pytest.MonkeyPatch, device_id: str
) -> None:
    def read(_: bytes) -> None:
        raise AssertionError

    monkeypatch.setattr(decide, "receive", read)
    ingested = line.send(b"{", b'{"store":7,"seq":3,"x":[]}', device_id=device_id)
    assert [(one.code, one.seq) for one in ingested.outcomes if isinstance(one, Refused)] == [
        ("not-claimed", None),
        ("not-claimed", 3),
    ]


def test_a_belief_that_is_late_decides_nothing(
    session: Session, line: Uplink, batch: Batch
) -> None:
    """A process may believe that a device is held which was let go since."""
    line.deliver(batch(1))
    session.execute(text("UPDATE device_tenure SET released_at = claimed_at"))
    session.commit()
    sent = [*batch(2), Delivery("device-1", b"{", AT, True)]
    outcomes = ingest(session, sent, believed_held={"device-1"}).outcomes
    session.commit()
    assert [one.code for one in outcomes if isinstance(one, Refused)] == ["not-claimed"] * 2
    assert line.rows("SELECT count(*) FROM quarantine") == [(0,)]
