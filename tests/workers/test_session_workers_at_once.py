"""Bridges, keepers and readers at the same sessions at once."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import change_counter
from cymba.database import UnitOfWork, utc_now
from cymba.devices.tables import DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.ingest.ledgers import StoreKey, lock_ledgers
from cymba.stimulation.tables import Recording, SessionExtent, StimulationSession, StoredFrame
from cymba.stimulation.wire.messages import EndFrame, Frame
from tests.stimulation.worker_steps import summarise_due
from workers.session_worker import SessionRound, SessionWorker

DEVICE = "device-0001"
NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)
LATER = NOW + timedelta(days=2)
SESSIONS, BRIDGES = 8, 2


def recorded(tape: Any) -> list[Frame]:
    """Sessions of one store, one after another."""
    frames: list[Frame] = []
    seq, up = 0, 60_000
    for number in range(SESSIONS):
        one = tape(sid=UUID(int=number + 1), up=up)
        one.seq = seq
        one.start()
        for _ in range(20):
            one.samples(amplitude_ua=[1_000] * 3, impedance_ohm=[3_000, None, 3_100])
        frames += one.end().frames
        seq, up = one.seq, one.up + 60_000
    return frames


def clock(at: datetime) -> Callable[[], datetime]:
    """One that shows `at` now and goes on from there."""
    ahead = at - utc_now()
    return lambda: utc_now() + ahead


@contextmanager
def at_once(
    engine: Engine, keepers: Sequence[SessionWorker], sid: UUID
) -> Iterator[list[SessionRound]]:
    """Keepers that go round, and a reader that sees every frame from when it was first there."""
    done = Event()
    rounds: list[SessionRound] = []

    def keep(keeper: SessionWorker) -> None:
        while not done.is_set():
            rounds.append(keeper.run_once())

    def read() -> None:
        seen: set[int] = set()
        while not done.is_set():
            with UnitOfWork(engine) as session:
                found = [read.frame.seq for read in load_frames(session, DEVICE, sid)]
            assert len(found) == len(set(found))
            assert seen <= set(found)
            seen = set(found)

    with ThreadPoolExecutor(len(keepers) + 1) as pool:
        running = [pool.submit(keep, keeper) for keeper in keepers] + [pool.submit(read)]
        try:
            yield rounds
        finally:
            done.set()
        for one in running:
            one.result()


def test_every_frame_is_there_once_and_every_session_right(
    engine: Engine,
    session: Session,
    account_id: UUID,
    tape: Any,
    deliver: Callable[..., list[Any]],
) -> None:
    frames = recorded(tape)

    def bridge(seed: int) -> None:
        """Both deliver everything, in an order of their own, as a device that resends all. The
        ends come first, so that a late keeper seals the sessions again and again."""
        rng = random.Random(seed)
        order = rng.sample(frames, len(frames))
        order.sort(key=lambda frame: not isinstance(frame, EndFrame))
        while order:
            size = rng.randint(1, 6)
            with UnitOfWork(engine) as own, own.begin():
                deliver(own, order[:size])
            order = order[size:]

    # Each keeper has a clock of its own: to one the sessions fall silent while they still come.
    keepers = [SessionWorker(engine, Settings(), clock=clock(at)) for at in (NOW, LATER, NOW)]
    with (
        at_once(engine, keepers, UUID(int=3)) as rounds,
        ThreadPoolExecutor(BRIDGES) as pool,
    ):
        list(pool.map(bridge, range(BRIDGES)))
    assert [key for kept in rounds for key in kept.failed] == []
    last = SessionWorker(engine, Settings(), clock=clock(NOW + timedelta(minutes=2)))
    while last.run_once().more:  # a round has a time, and a busy machine leaves some of it over
        pass
    assert last.run_once() == SessionRound()
    assert session.scalar(select(func.count()).select_from(StoredFrame)) == 0
    assert session.scalar(select(func.sum(Recording.frame_count))) == len(frames)
    rows = session.scalars(select(StimulationSession).order_by(StimulationSession.sid)).all()
    assert [(row.sid, row.state, row.end_reason) for row in rows] == [
        (UUID(int=number + 1), "ended", "completed") for number in range(SESSIONS)
    ]
    assert {(row.completeness, row.sample_count, row.account_id) for row in rows} == {
        (1.0, 60, account_id)
    }
    found = [
        read.frame for row in rows for read in load_frames(session, *SessionKey(DEVICE, row.sid))
    ]
    assert found == frames
    # Each version is told once, and at most once with it the device, whose electrode it tells of.
    versions = sum(row.version for row in rows)
    assert versions <= change_counter(session, account_id) <= 2 * versions


@pytest.mark.usefixtures("account_id")
def test_a_keeper_that_erases_late_sessions_and_a_bridge_never_wait_for_each_other(
    engine: Engine,
    session: Session,
    tape: Any,
    deliver: Callable[..., object],
    delivered_at: datetime,
) -> None:
    """A bridge locks its ledgers in the order of their stores, then marks extents. The sessions'
    order is another: the first of them is of the last store."""
    late = [tape(sid=UUID(int=number), store=store).start() for number, store in ((1, 9), (2, 8))]
    for one in late:
        deliver(session, one.frames)
    session.execute(
        update(DeviceTenure).values(account_id=None, released_at=delivered_at + timedelta(hours=1))
    )
    session.commit()
    outcome: list[int] = []

    def keep() -> None:
        with UnitOfWork(engine) as keeper, keeper.begin():
            outcome.append(summarise_due(keeper, now=NOW))

    with ThreadPoolExecutor(1) as pool, UnitOfWork(engine) as bridge:
        lock_ledgers(bridge, [StoreKey(DEVICE, 8)])
        keeping = pool.submit(keep)
        while not bridge.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")):
            assert not keeping.done()
        lock_ledgers(bridge, [StoreKey(DEVICE, 9)])
        bridge.execute(update(SessionExtent).values(dirty=True))
        bridge.commit()
        keeping.result()
    assert outcome == [2]
    assert session.scalar(select(func.count()).select_from(SessionExtent)) == 0
    assert session.scalar(select(func.count()).select_from(StoredFrame)) == 0
