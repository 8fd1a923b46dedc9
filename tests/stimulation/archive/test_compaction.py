"""Sealing: a finished session's frames become one recording, and nothing that is read changes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from cymba.accounts.changes import change_counter
from cymba.database import UnitOfWork
from cymba.stimulation.archive import compaction
from cymba.stimulation.archive.compaction import compact_session, multirange
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.ingest.decide import Duplicate, Quarantined, Stored
from cymba.stimulation.tables import Recording, SessionExtent, StoredFrame
from tests.stimulation.conftest import counted, only_session, short_session
from tests.stimulation.worker_steps import compact_due, summarise_due

pytestmark = pytest.mark.usefixtures("account_id")

DEVICE = "device-0001"
NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)  # when the fixtures deliver
Deliver = Callable[..., list[Any]]


def test_sealing_moves_the_frames_and_changes_nothing_that_is_read(
    session: Session, account_id: UUID, tape: Any, deliver: Deliver
) -> None:
    recorded = short_session(tape)
    deliver(session, recorded.frames)
    summarise_due(session, now=NOW)
    before, row = load_frames(session, DEVICE, recorded.sid), only_session(session)
    version, number = row.version, change_counter(session, account_id)
    assert compact_due(session, now=NOW) == 1
    assert (counted(session, StoredFrame), counted(session, Recording)) == (0, 1)
    assert load_frames(session, DEVICE, recorded.sid) == before
    session.execute(update(SessionExtent).values(dirty=True))
    summarise_due(session, now=NOW)
    assert only_session(session).version == version
    assert change_counter(session, account_id) == number
    assert compact_due(session, now=NOW) == 0


def test_an_incomplete_session_is_sealed_once_it_is_silent(
    session: Session, tape: Any, deliver: Deliver, delivered_at: datetime
) -> None:
    frames = short_session(tape).frames
    deliver(session, [frames[0], *frames[2:]])
    summarise_due(session, now=delivered_at)
    assert compact_due(session, now=delivered_at + timedelta(hours=23)) == 0
    assert compact_due(session, now=delivered_at + timedelta(hours=25)) == 1
    assert only_session(session).completeness == 0.75


def test_an_open_session_is_not_sealed(
    session: Session, tape: Any, deliver: Deliver, delivered_at: datetime
) -> None:
    deliver(session, short_session(tape).frames[:2])
    summarise_due(session, now=delivered_at)
    assert compact_due(session, now=delivered_at) == 0


def test_a_late_frame_opens_a_recording_and_is_sealed_with_the_others(
    session: Session, tape: Any, deliver: Deliver, delivered_at: datetime
) -> None:
    recorded = short_session(tape)
    frames = recorded.frames
    deliver(session, [frames[0], *frames[2:]])
    summarise_due(session, now=delivered_at)
    later = delivered_at + timedelta(days=2)
    compact_due(session, now=later)
    assert deliver(session, [frames[1]], later) == [Stored(7, 2)]
    assert (counted(session, StoredFrame), counted(session, Recording)) == (1, 1)
    assert [r.frame.seq for r in load_frames(session, DEVICE, recorded.sid)] == [1, 2, 3, 4]
    summarise_due(session, now=later)
    assert only_session(session).completeness == 1
    assert compact_due(session, now=later) == 1
    assert (counted(session, StoredFrame), counted(session, Recording)) == (0, 1)
    assert [r.frame for r in load_frames(session, DEVICE, recorded.sid)] == frames
    assert session.scalars(select(Recording.seqs)).one() == multirange([1, 2, 3, 4])


def test_after_sealing_a_resend_is_known_and_so_is_a_reused_number(
    session: Session, tape: Any, deliver: Deliver
) -> None:
    recorded = short_session(tape)
    deliver(session, recorded.frames)
    summarise_due(session, now=NOW)
    compact_due(session, now=NOW)
    other = tape().start().samples(amplitude_ua=[7]).frames[1]
    assert deliver(session, [recorded.frames[1], other]) == [
        Duplicate(7, 2),
        Quarantined(7, 2, "key-reuse", "another frame is stored under this number"),
    ]
    assert counted(session, StoredFrame) == 0


def test_sealing_waits_where_the_session_is_written_to_meanwhile(
    engine: Engine,
    session: Session,
    tape: Any,
    deliver: Deliver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = short_session(tape)
    deliver(session, [recorded.frames[0], recorded.frames[1], recorded.frames[3]])
    summarise_due(session, now=NOW)
    session.commit()

    honest = compaction.load_frames  # type: ignore[attr-defined]

    def load_and_be_interrupted(*args: Any) -> Any:
        found = honest(*args)
        with UnitOfWork(engine) as bridge, bridge.begin():
            deliver(bridge, [recorded.frames[2]])
        return found

    monkeypatch.setattr(compaction, "load_frames", load_and_be_interrupted)
    assert not compact_session(session, SessionKey(DEVICE, recorded.sid))
    session.commit()
    assert counted(session, StoredFrame) == 4
