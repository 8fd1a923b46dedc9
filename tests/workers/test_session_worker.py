from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, text, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import change_counter
from cymba.database import UnitOfWork
from cymba.devices.anchors import BootKey, load_clocks
from cymba.settings import Settings
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.ingest.decide import Duplicate, Quarantined, Stored
from cymba.stimulation.ingest.statements import ask_retiming
from cymba.stimulation.session import summarising
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.session.waiting import LONGEST_REST, close_silent
from cymba.stimulation.tables import (
    KeptSums,
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
    for _ in range(2):  # with nothing new the second time, so that its mark goes
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


def test_a_frame_that_follows_makes_no_other_be_read(
    session: Session, tape: Any, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = short_session(tape).frames
    deliver(session, frames[:1])
    summarise_due(session, now=NOW)

    def read_all(*_: Any, **__: Any) -> None:
        raise AssertionError("all frames of the session are read")

    monkeypatch.setattr(summarising, "load_frames", read_all)
    for one in frames[1:]:
        deliver(session, [one])
        assert summarise_due(session, now=NOW) == 1
    assert only_session(session).completeness == 1
    session.commit()
    assert counted(session, KeptSums) == 0  # of a session that has ended none are kept


def test_sums_are_made_anew_after_the_database_lost_them(
    session: Session, tape: Any, deliver: Deliver
) -> None:
    """As a session of before they were kept, or as one after a crash."""
    frames = short_session(tape).frames
    deliver(session, frames[:2])
    summarise_due(session, now=NOW)
    assert counted(session, KeptSums) == 1
    session.execute(delete(KeptSums))
    deliver(session, frames[2:3])
    summarise_due(session, now=NOW)
    assert (only_session(session).frames_stored, counted(session, KeptSums)) == (3, 1)


def test_a_number_that_only_quarantine_held_is_counted_when_its_frame_comes(
    session: Session, tape: Any, deliver: Deliver
) -> None:
    """The ledger has it as resolved before and after, so it does not show that a frame came."""
    start, lost, following, last = tape().start().samples().samples().samples().frames
    deliver(session, [start])
    bad = msgspec.structs.replace(lost, n=2, c={"amplitude_ua": [1]})
    (outcome,) = deliver(session, [bad])
    assert isinstance(outcome, Quarantined)
    deliver(session, [following])
    summarise_due(session, now=NOW)
    assert deliver(session, [lost, last]) == [Stored(7, 2), Stored(7, 4)]
    summarise_due(session, now=NOW)
    assert only_session(session).frames_stored == 4


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
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
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
    seconds = [timedelta(seconds=11)] * 4
    passed = st.sampled_from([*seconds, timedelta(0), timedelta(days=3)])
    moment = [delivered_at]
    workers = [SessionWorker(engine, Settings(), clock=lambda: moment[0])]

    def keep(after: timedelta) -> None:
        if data.draw(st.booleans()):  # it starts anew
            workers[0] = SessionWorker(engine, Settings(), clock=lambda: moment[0])
        moment[0] += after
        assert workers[0].run_once().failed == []

    def clock_becomes_known() -> None:
        boot = data.draw(st.integers(1, 2))
        off = timedelta(seconds=data.draw(st.integers(-20, 20)))
        exchange(session, {(store, boot): booted_at + (boot - 1) * timedelta(hours=1) + off})
        ask_retiming(session, [BootKey(DEVICE, store, boot)])
        session.commit()

    twice = data.draw(st.lists(st.sampled_from(frames), max_size=4))
    order: list[Frame] = [*frames, *twice]
    match data.draw(st.sampled_from(["as recorded", "some late", "any"])):
        case "some late":
            for at in data.draw(st.lists(st.integers(0, len(frames) - 3), min_size=1, max_size=3)):
                order[at], order[at + 1] = order[at + 1], order[at]
        case "any":
            order = data.draw(st.permutations(order))
    stored: Counter[str] = Counter()
    while order:
        size = data.draw(st.integers(1, min(2, len(order))))
        outcomes = deliver(session, order[:size])
        session.commit()
        stored.update(type(outcome).__name__ for outcome in outcomes)
        order = order[size:]
        if data.draw(st.integers(0, 5)) == 5:
            clock_becomes_known()
        if data.draw(st.integers(0, 3)):
            keep(data.draw(passed))
    keep(LONGEST_REST)  # by then nothing rests any more
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
