from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import change_counter
from cymba.database import UnitOfWork
from cymba.devices.anchors import load_clocks
from cymba.settings import Settings
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.ingest.decide import Duplicate, Stored
from cymba.stimulation.session import summarising
from cymba.stimulation.session.summarising import close_silent
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.tables import (
    Recording,
    SessionExtent,
    StimulationSession,
    StoredFrame,
)
from cymba.stimulation.wire.messages import Frame
from tests.stimulation.conftest import counted, only_session, short_session
from tests.stimulation.worker_steps import changes, compact_due, summarise_due
from workers.session_worker import SessionWorker

pytestmark = pytest.mark.usefixtures("account_id")

DEVICE = "device-0001"
NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)  # when the fixtures deliver
Deliver = Callable[..., list[Any]]


def test_a_session_appears_with_its_first_frame_whichever_that_is(
    session: Session, account_id: UUID, tape: Any, deliver: Deliver
) -> None:
    frames = short_session(tape).frames
    deliver(session, [frames[2]])
    assert summarise_due(session, now=NOW) == 1
    first = only_session(session)
    first_id = first.id
    session.commit()
    assert (first.account_id, first.state, first.frames_stored) == (account_id, "open", 1)
    assert first.time_zone == "Europe/Berlin"
    deliver(session, [frames[3], frames[0], frames[1]])
    summarise_due(session, now=NOW)
    whole = only_session(session)
    assert (whole.id, whole.state, whole.completeness) == (first_id, "ended", 1)
    assert whole.version == 2
    assert changes(session) == {account_id: (2, False)}


def test_nothing_visible_changed_means_no_new_version_and_no_change(
    session: Session, account_id: UUID, tape: Any, deliver: Deliver
) -> None:
    deliver(session, short_session(tape).frames)
    summarise_due(session, now=NOW)
    session.commit()
    session.execute(update(SessionExtent).values(dirty=True))
    assert summarise_due(session, now=NOW) == 1
    assert only_session(session).version == 1
    session.commit()
    assert change_counter(session, account_id) == 1
    assert summarise_due(session, now=NOW) == 0


def test_a_silent_session_is_closed_and_a_late_frame_corrects_that(
    session: Session, tape: Any, deliver: Deliver, delivered_at: datetime
) -> None:
    frames = short_session(tape).frames
    deliver(session, frames[:2])
    soon = delivered_at + timedelta(hours=23)
    summarise_due(session, now=delivered_at)
    assert close_silent(session, soon).extents == 0
    late = delivered_at + timedelta(hours=25)
    assert close_silent(session, late).extents == 1
    summarise_due(session, now=late)
    closed = only_session(session)
    assert (closed.state, closed.end_reason) == ("ended", "unknown_inferred")
    assert close_silent(session, late).extents == 0
    deliver(session, frames[2:], late)
    summarise_due(session, now=late)
    corrected = only_session(session)
    assert (corrected.state, corrected.end_reason) == ("ended", "completed")
    assert corrected.completeness == 1


def test_a_frame_that_comes_while_a_session_is_summed_up_leaves_it_marked(
    engine: Engine,
    session: Session,
    tape: Any,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = short_session(tape).frames
    deliver(session, frames[:2])
    session.commit()

    def load_and_be_interrupted(*args: Any, **options: Any) -> Any:
        found = load_frames(*args, **options)
        with UnitOfWork(engine) as bridge, bridge.begin():
            deliver(bridge, frames[2:])
        return found

    with monkeypatch.context() as patched:
        patched.setattr(summarising, "load_frames", load_and_be_interrupted)
        summarise_due(session, now=NOW)
    session.commit()
    assert only_session(session).frames_stored == 2
    session.commit()
    assert summarise_due(session, now=NOW) == 1
    assert only_session(session).frames_stored == 4


def test_a_second_keeper_leaves_what_a_first_is_at(
    engine: Engine, session: Session, account_id: UUID, tape: Any, deliver: Deliver
) -> None:
    deliver(session, short_session(tape).frames)
    session.commit()
    with UnitOfWork(engine) as first, UnitOfWork(engine) as second:
        summarise_due(first, now=NOW)
        summarise_due(second, now=NOW)
        assert counted(second, StimulationSession) == 0
        second.commit()
        first.commit()
    assert only_session(session).version == 1
    assert change_counter(session, account_id) == 1


def test_a_keeper_that_dies_leaves_nothing_half_done(
    engine: Engine, session: Session, account_id: UUID, tape: Any, deliver: Deliver
) -> None:
    deliver(session, short_session(tape).frames)
    session.commit()
    with UnitOfWork(engine) as dying:
        summarise_due(dying, now=NOW)
        compact_due(dying, now=NOW)
        assert counted(dying, Recording) == 1
        dying.rollback()
    assert (counted(session, StimulationSession), counted(session, Recording)) == (0, 0)
    assert change_counter(session, account_id) == 0
    session.commit()
    kept = SessionWorker(engine, Settings(), clock=lambda: NOW).run_once()
    assert (kept.summarised, kept.compacted, kept.failed) == (1, 1, [])


def test_a_note_survives_a_new_summary(session: Session, tape: Any, deliver: Deliver) -> None:
    frames = short_session(tape).frames
    deliver(session, frames[:2])
    summarise_due(session, now=NOW)
    row = only_session(session)
    row.note, row.excluded = "slept well", True
    session.flush()
    deliver(session, frames[2:])
    summarise_due(session, now=NOW)
    row = only_session(session)
    assert (row.note, row.excluded, row.frames_stored) == ("slept well", True, 4)


def test_late_frames_of_a_deleted_session_are_erased(
    session: Session, tape: Any, deliver: Deliver, delivered_at: datetime
) -> None:
    frames = short_session(tape).frames
    deliver(session, frames[:2])
    summarise_due(session, now=NOW)
    only_session(session).deleted_at = delivered_at
    session.flush()
    assert deliver(session, frames[2:]) == [Stored(7, 3), Stored(7, 4)]
    summarise_due(session, now=NOW)
    assert (counted(session, StoredFrame), counted(session, Recording)) == (0, 0)
    assert only_session(session).frames_stored == 2
    assert deliver(session, frames) == [Duplicate(7, seq) for seq in (1, 2, 3, 4)]


def test_one_session_that_cannot_be_read_keeps_no_other_waiting(
    engine: Engine, session: Session, tape: Any, deliver: Deliver
) -> None:
    broken = tape(sid=UUID(int=1)).start().end()
    sound = tape(sid=UUID(int=2), store=8).start().end()
    deliver(session, broken.frames + sound.frames)
    session.execute(update(StoredFrame).where(StoredFrame.sid == UUID(int=1)).values(kind=77))
    session.commit()
    moment = [NOW]
    keeper = SessionWorker(engine, Settings(), clock=lambda: moment[0])
    kept = keeper.run_once()
    assert kept.failed == [SessionKey(DEVICE, UUID(int=1))]
    assert (kept.summarised, kept.compacted) == (1, 1)
    assert keeper.run_once().failed == []  # it is set aside …
    moment[0] += timedelta(seconds=11)
    assert len(keeper.run_once().failed) == 1  # … and tried again, ever more seldom
    moment[0] += timedelta(seconds=11)
    assert keeper.run_once().failed == []
    session.execute(
        text("UPDATE frame SET kind = CASE seq WHEN 1 THEN 1 ELSE 4 END WHERE sid = :sid"),
        {"sid": UUID(int=1)},
    )
    session.commit()
    moment[0] += timedelta(seconds=11)
    assert keeper.run_once().summarised == 1


def test_a_long_session_is_summed_up_less_often_while_it_runs(
    session: Session,
    tape: Any,
    deliver: Deliver,
    delivered_at: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver(session, [*tape().start().frames, *tape().start().samples().frames[1:]])
    monkeypatch.setattr(summarising, "REST_PER_FRAME", timedelta(seconds=2))
    monkeypatch.setattr(summarising, "LONGEST_REST", timedelta(seconds=5))

    def due(after_s: float) -> int:
        now = delivered_at + timedelta(seconds=after_s)
        return len(summarising.dirty_sessions(session, now).sessions)

    assert due(0) == 1
    summarise_due(session, now=delivered_at)
    deliver(session, tape(up=70_000).start().samples().samples().frames[2:])
    assert [due(3.9), due(4)] == [0, 1]
    summarise_due(session, now=delivered_at)
    session.execute(update(SessionExtent).values(dirty=True))
    assert [due(4.9), due(5)] == [0, 1]


def eventful_session(tape: Any) -> list[Frame]:
    session = tape().start()
    for i in range(3):
        session.samples(
            amplitude_ua=[1_000 + i, None, 1_000],
            impedance_ohm=[3_000, 30_000 + i, 3_100],
            rr_ms=[800 + i, None, 790],
            later=[i, 2**53, -i],
        )
    session.event("lead_off").reboot().samples(dt=60_000, skin_temp_mc=[31_000])
    frames: list[Frame] = session.end("power_loss").frames
    return frames


WRITTEN = "frame, flash_store, session_extent, recording, stimulation_session CASCADE"


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_every_order_duplication_split_and_sealing_gives_the_same_session(
    data: st.DataObject,
    engine: Engine,
    session: Session,
    tape: Any,
    deliver: Deliver,
    exchange: Callable[..., None],
    booted_at: datetime,
    delivered_at: datetime,
) -> None:
    """Whatever comes in between the rounds of a session worker, and whenever its rounds are."""
    session.rollback()
    session.execute(text(f"TRUNCATE {WRITTEN}"))  # what an earlier example has left
    store = data.draw(st.integers(1, 2**32 - 1))
    key = SessionKey(DEVICE, UUID(int=store))
    frames = eventful_session(lambda: tape(store=store, sid=key.sid))
    exchange(session, {(store, 1): booted_at, (store, 2): booted_at + timedelta(hours=1)})
    session.commit()
    moments = [delivered_at, delivered_at + timedelta(days=3)]
    moment = [delivered_at]
    worker = SessionWorker(engine, Settings(), clock=lambda: moment[0])

    def keep(now: datetime) -> None:
        moment[0] = now
        assert worker.run_once().failed == []

    twice = data.draw(st.lists(st.sampled_from(frames), max_size=4))
    order: Sequence[Frame] = data.draw(st.permutations([*frames, *twice]))
    stored: Counter[str] = Counter()
    while order:
        size = data.draw(st.integers(1, len(order)))
        outcomes = deliver(session, order[:size])
        session.commit()
        stored.update(type(outcome).__name__ for outcome in outcomes)
        order = order[size:]
        if data.draw(st.booleans()):
            keep(data.draw(st.sampled_from(moments)))
    # By then nothing rests any more.
    keep(data.draw(st.sampled_from(moments)) + summarising.LONGEST_REST)
    assert stored == Counter({"Stored": len(frames)} | ({"Duplicate": len(twice)} if twice else {}))
    reads = load_frames(session, *key)
    assert [read.frame for read in reads] == frames
    row = session.get(StimulationSession, key.id, populate_existing=True)
    # The row must be what one summary of all frames gives.
    clocks = load_clocks(session, DEVICE)
    whole = summarise(reads, clocks, silent=False)
    assert {name: getattr(row, name) for name in whole.__dataclass_fields__} == {
        name: getattr(whole, name) for name in whole.__dataclass_fields__
    }
    session.rollback()
