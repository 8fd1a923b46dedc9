"""What is kept of who tells of which session: the same whatever came first, and whatever was edited
or deleted on the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, text
from sqlalchemy.orm import Session

from cymba.accounts.merging import Seen
from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork
from cymba.devices.tables import Device, DeviceTenure
from cymba.stimulation.session.queries import delete_session
from cymba.stimulation.session.summary_news import moved
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.grouping import WRITTEN_WITHIN, SessionWitness, leads
from cymba.stimulation.written.sessions import WrittenSessions
from cymba.stimulation.written.tables import WrittenSession
from cymba.stimulation.written.witnesses import lock_alone, lock_shared, regroup

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
DEVICES = ("device-0001", "device-0002")
WAITS = text("SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
IDS = [UUID(int=i) for i in range(1, 7)]  # of what is written
RECORDED = [UUID(int=i) for i in range(100, 103)]


class ManyWitnesses:
    """An account with two devices, and what a session worker and an app do to its sessions."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        with UnitOfWork(engine) as session, session.begin():
            for table in (WrittenSession, StimulationSession, DeviceTenure):
                session.execute(delete(table))
            session.execute(delete(Account))
            account = Account(email="person@example.org")
            session.add(account)
            session.flush()
            self.account_id = account.id
            for id_ in DEVICES:
                if session.get(Device, id_) is None:
                    session.add(Device(id=id_, serial=id_, model="ear_cymba"))
                session.add(DeviceTenure(device_id=id_, account_id=account.id, claimed_at=BEGAN))

    def record(self, which: int, device: int, begin: int, length: int, error: int) -> None:
        """A device's session comes, is placed at another time, or is the person's again."""
        id_, device_id = RECORDED[which], DEVICES[device]
        start = BEGAN + timedelta(minutes=begin)
        with self.summarising(id_) as session:
            row = session.get(StimulationSession, id_)
            if row is None:
                row = recorded(id_, device_id, self.account_id)
                session.add(row)
            elif row.deleted_at is not None:
                return
            row.account_id = self.account_id
            row.started_at, row.ended_at = start, start + timedelta(minutes=length)
            row.time_error_ms = error * 60_000

    def disown(self, which: int) -> None:
        """A device's session turns out to be from when another held it."""
        with self.summarising(RECORDED[which]) as session:
            row = session.get(StimulationSession, RECORDED[which])
            if row is not None and row.deleted_at is None:
                row.account_id = None

    @contextmanager
    def summarising(self, id_: UUID) -> Iterator[Session]:
        """What is done to the session is followed as `summarise_sessions` follows it."""
        table = StimulationSession.__table__
        stored = select(table).where(table.c.id == id_)
        with UnitOfWork(self.engine) as session, session.begin():
            assert lock_shared(session, [self.account_id]) in ([], [self.account_id])
            known = {row.id: row for row in session.execute(stored)}
            yield session
            session.flush()
            rows = [dict(row) for row in session.execute(stored).mappings()]
            regroup(session, self.account_id, moved(self.account_id, rows, known))

    def erase(self, which: int) -> None:
        with UnitOfWork(self.engine) as session, session.begin():
            lock_alone(session, self.account_id)
            row = session.get(StimulationSession, RECORDED[which])
            if row is not None and row.deleted_at is None:
                delete_session(session, row, NOW)

    def write(self, which: int, fields: dict[str, Any]) -> None:
        with UnitOfWork(self.engine) as session, session.begin():
            row = session.get(WrittenSession, (self.account_id, IDS[which]))
            seen = Seen(row.version if row else 0)
            WrittenSessions().merge(
                session, self.account_id, IDS[which], fields, seen=seen, now=NOW
            )

    def remove(self, which: int) -> None:
        with UnitOfWork(self.engine) as session, session.begin():
            row = session.get(WrittenSession, (self.account_id, IDS[which]))
            if row is not None:
                seen = Seen(row.version)
                WrittenSessions().remove(session, self.account_id, IDS[which], seen=seen, now=NOW)

    def check(self) -> None:
        """All is as if it had come at once."""
        with UnitOfWork(self.engine) as session:
            rows = session.scalars(select(WrittenSession)).all()
            alive = [row for row in rows if row.deleted_at is None]
            found = {row.id: row.shown_with or row.id for row in rows}
            wanted = leads([witness(row) for row in alive] + list(devices(session)))
            assert found == {row.id: wanted.get(row.id, row.id) for row in rows}
            told = {
                UUID(id_)
                for id_ in session.scalars(
                    select(Change.entity_id).where(Change.kind == "session", Change.deleted)
                )
            }
            assert not told & {row.id for row in alive}  # what is there is told of as there


def recorded(id_: UUID, device_id: str, account_id: UUID) -> StimulationSession:
    return StimulationSession(
        id=id_, device_id=device_id, sid=uuid4(), account_id=account_id, state="ended",
        time_zone="UTC", time_source="anchored", frames_stored=1, sample_count=0,
        stimulating_s=0, contact_lost_s=0, event_count=0, boots=[1], changed_at=NOW,
    )  # fmt: skip


def witness(row: WrittenSession) -> SessionWitness:
    error = WRITTEN_WITHIN[row.recorder]
    begin, end = row.started_at, row.ended_at
    recorder: Any = row.recorder
    return SessionWitness(row.id, recorder, row.unit, begin, end, error, row.same_as)


def devices(session: Session) -> list[SessionWitness]:
    rows = session.scalars(
        select(StimulationSession).where(
            StimulationSession.deleted_at.is_(None), StimulationSession.account_id.is_not(None)
        )
    )
    return [
        SessionWitness(
            row.id, "device", row.device_id, row.started_at, row.ended_at,
            timedelta(milliseconds=row.time_error_ms),
        )
        for row in rows
    ]  # fmt: skip


PLACE = st.integers(0, 90)
LENGTH = st.integers(1, 40)
UNIT = st.sampled_from(
    [{"device_id": DEVICES[0], "model": None}] * 3
    + [{"device_id": DEVICES[1], "model": None}, {"device_id": None, "model": "ear_clip"}]
)
WORD = st.sampled_from([None, None, None, *IDS, *RECORDED])
WRITTEN = st.builds(
    lambda recorder, begin, length, unit, word: {
        "recorder": recorder, "started_at": BEGAN + timedelta(minutes=begin), "time_zone": "UTC",
        "duration_s": length * 60, "same_as": word, **unit,
    },
    st.sampled_from(["phone", "person"]), PLACE, LENGTH, UNIT, WORD,
)  # fmt: skip
STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(0, len(IDS) - 1), WRITTEN),
    st.tuples(st.just("write"), st.integers(0, len(IDS) - 1), WRITTEN),
    st.tuples(
        st.just("record"), st.integers(0, 2), st.integers(0, 1), PLACE, LENGTH,
        st.sampled_from([0, 0, 2, 60]),
    ),
    st.tuples(st.just("remove"), st.integers(0, len(IDS) - 1)),
    st.tuples(st.just("erase"), st.integers(0, 2)),
    st.tuples(st.just("disown"), st.integers(0, 2)),
)  # fmt: skip


def wrote(which: int, begin: int, **other: Any) -> tuple[str, int, dict[str, Any]]:
    """A step: a minute that the phone timed, or `other`."""
    fields = {
        "recorder": "phone", "device_id": DEVICES[1], "model": None, "duration_s": 60,
        "started_at": BEGAN + timedelta(minutes=begin), "time_zone": "UTC", "same_as": None,
    }  # fmt: skip
    return "write", which, fields | other


# What frees a written session that only an error, or only the person's word, bound to another.
UNSURE = ("record", 0, 1, 0, 1, 60)
FREED = [
    [
        *[wrote(0, 0, device_id=DEVICES[0])] * 3, ("record", 0, 1, 0, 1, 0), wrote(0, 7),
        ("record", 0, 0, 0, 1, 0), ("record", 0, 0, 0, 1, 60), ("erase", 0),
    ],
    [wrote(0, 7), UNSURE, ("record", 0, 1, 0, 1, 0)],
    [wrote(0, 60), UNSURE, ("record", 0, 1, 600, 1, 0)],
    [wrote(0, 7), UNSURE, ("disown", 0)],
    [wrote(0, 900, same_as=RECORDED[0]), UNSURE, ("disown", 0)],
    [wrote(0, 900, same_as=IDS[1]), wrote(1, 0, recorder="person"), wrote(0, 900)],
    [wrote(0, 900, same_as=IDS[1]), wrote(1, 0, recorder="person"), ("remove", 0)],
]  # fmt: skip


def examples(test: Any) -> Any:
    for steps in FREED:
        test = example(steps=steps)(test)
    return test


# Without the phases that make a failure small: they ran for minutes, and a history is short.
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)  # fmt: skip
@examples
@given(steps=st.lists(STEP, min_size=4, max_size=14))
def test_what_came_in_whatever_order_is_shown_as_if_it_had_come_at_once(
    engine: Engine, steps: list[Any]
) -> None:
    world = ManyWitnesses(engine)
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    world.check()


def test_two_that_are_written_at_once_do_not_miss_each_other(engine: Engine) -> None:
    """The session worker has yet to commit when the person's session comes."""
    world = ManyWitnesses(engine)
    fields = {
        "recorder": "person", "device_id": DEVICES[0], "started_at": BEGAN, "time_zone": "UTC",
        "duration_s": 1800,
    }  # fmt: skip
    thread = Thread(target=world.write, args=(0, fields))
    with UnitOfWork(engine) as session, session.begin():
        assert lock_shared(session, [world.account_id]) == []
        row = recorded(RECORDED[0], DEVICES[0], world.account_id)
        row.started_at, row.ended_at = BEGAN, BEGAN + timedelta(minutes=30)
        row.time_error_ms = 0
        session.add(row)
        session.flush()
        thread.start()
        while not session.scalar(WAITS):
            pass
    thread.join()
    with UnitOfWork(engine) as session:
        assert session.scalars(select(WrittenSession.shown_with)).all() == [RECORDED[0]]


@pytest.mark.parametrize("unit", ["device", "model"])
def test_what_is_moved_frees_what_it_was_one_with(engine: Engine, unit: str) -> None:
    world = ManyWitnesses(engine)
    of = (
        {"device_id": DEVICES[0], "model": None}
        if unit == "device"
        else {"device_id": None, "model": "ear_clip"}
    )
    at_eight = {"started_at": BEGAN, "time_zone": "UTC", "duration_s": 1800, **of}
    world.write(0, at_eight | {"recorder": "phone"})
    world.write(1, at_eight | {"recorder": "person"})
    world.check()
    world.write(0, {"started_at": BEGAN + timedelta(hours=5)})
    world.check()
    with UnitOfWork(engine) as session:
        rows = session.scalars(select(WrittenSession)).all()
        assert [row.shown_with for row in rows] == [None, None]
