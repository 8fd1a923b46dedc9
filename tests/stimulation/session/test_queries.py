from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.accounts.merging import Applied
from cymba.accounts.tables import Change
from cymba.database import line_of
from cymba.errors import NotFound, Rejected
from cymba.notes import MAX_NOTE
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.ingest.decide import Duplicate
from cymba.stimulation.session.notes import SessionNotes
from cymba.stimulation.session.pages import SessionPages
from cymba.stimulation.session.queries import (
    delete_session,
    events_of,
    get_session,
    lock_session,
    telemetry_of,
)
from cymba.stimulation.tables import Recording, StimulationSession, StoredFrame
from tests.stimulation.worker_steps import compact_due, summarise_due

DEVICE = "device-0001"
NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)
Deliver = Callable[..., list[Any]]


def counted(session: Session, table: type[Any]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def ids(
    session: Session,
    account_id: UUID,  # noqa: ARG001 - who holds the device
    tape: Any,
    deliver: Deliver,
) -> list[UUID]:
    """Five sessions of a person, ten minutes apart, the latest first."""
    found = []
    seq = 0
    for number in range(5):
        recorded = tape(sid=UUID(int=number + 1), up=60_000 + number * 600_000)
        recorded.seq = seq
        recorded.start().samples(amplitude_ua=[1_000] * 10).event("pause").end()
        seq = recorded.seq
        deliver(session, recorded.frames)
        found.append(SessionKey(DEVICE, recorded.sid).id)
    summarise_due(session, now=NOW)
    session.commit()
    return found[::-1]


PAGES = SessionPages(lambda _, column: column)


def paged(session: Session, account_id: UUID, **query: Any) -> list[UUID]:
    session.flush()
    found, after = [], None
    while True:
        page = PAGES.read(line_of(session), account_id, None, after=after, **query)
        assert page is not None
        found += [UUID(orjson.loads(item)["id"]) for item in page.items if isinstance(item, str)]
        after = page.next_key
        if after is None:
            return found


def test_pages_hold_each_session_once_the_latest_first(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    for limit in (1, 2, 5, 50):
        assert paged(session, account_id, limit=limit) == ids


def test_pages_of_a_time_and_of_a_device(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    starts = {i: get_session(session, account_id, i).started_at for i in ids}
    assert paged(session, account_id, begin=starts[ids[2]]) == ids[:3]
    assert paged(session, account_id, end=starts[ids[2]]) == ids[3:]
    assert paged(session, account_id, device_id=DEVICE, limit=2) == ids
    assert paged(session, account_id, device_id="device-0002") == []


def test_nobody_sees_or_touches_anothers_sessions(
    session: Session, ids: list[UUID], person: Callable[..., UUID]
) -> None:
    other = person(session, "other@example.org")
    assert paged(session, other) == []
    for look in (get_session, lock_session):
        with pytest.raises(NotFound):
            look(session, other, ids[0])
        with pytest.raises(NotFound):
            look(session, other, uuid4())


def edited(session: Session, account_id: UUID, id_: UUID, **fields: Any) -> Applied[Any]:
    return SessionNotes().put(session, account_id, id_, fields, match=lambda _: None, now=NOW)


def test_a_note_raises_the_version_and_is_told(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    version = get_session(session, account_id, ids[0]).version
    assert edited(session, account_id, ids[0], note="ears were cold", excluded=True).changed
    session.commit()
    found = get_session(session, account_id, ids[0])
    assert (found.note, found.excluded, found.version) == ("ears were cold", True, version + 1)
    told = session.execute(select(Change.entity_id).order_by(Change.number.desc())).first()
    assert told is not None
    assert told[0] == str(ids[0])


def test_the_same_note_again_changes_nothing(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    version = get_session(session, account_id, ids[0]).version
    again = edited(session, account_id, ids[0], note=None, excluded=False)
    assert not again.changed
    assert again.row.version == version


@pytest.mark.parametrize("note", ["x" * (MAX_NOTE + 1), "a\0b"])
def test_a_note_that_cannot_be_kept_is_refused(
    session: Session, account_id: UUID, ids: list[UUID], note: str
) -> None:
    with pytest.raises(Rejected):
        edited(session, account_id, ids[0], note=note, excluded=False)


@pytest.mark.parametrize("sealed_before", [False, True])
def test_a_deleted_session_is_erased_for_good(
    session: Session,
    account_id: UUID,
    ids: list[UUID],
    tape: Any,
    deliver: Deliver,
    sealed_before: bool,
) -> None:
    if sealed_before:
        assert compact_due(session, now=NOW) == 5
    delete_session(session, lock_session(session, account_id, ids[-1]), NOW)
    session.commit()
    with pytest.raises(NotFound):
        get_session(session, account_id, ids[-1])
    assert paged(session, account_id) == ids[:-1]
    assert counted(session, StoredFrame) == (0 if sealed_before else 16)
    assert counted(session, Recording) == (4 if sealed_before else 0)
    row = session.get_one(StimulationSession, ids[-1])
    assert (row.programme, row.mean_amplitude_ua, row.sample_count) == (None, None, 0)
    change = session.get_one(Change, (account_id, "session", str(ids[-1])))
    assert change.deleted
    again = tape(sid=UUID(int=1)).start().samples(amplitude_ua=[1_000] * 10)
    assert deliver(session, again.frames) == [Duplicate(7, 1), Duplicate(7, 2)]
    summarise_due(session, now=NOW)
    assert paged(session, account_id) == ids[:-1]


def test_events_and_telemetry_are_the_same_sealed_or_not(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    found = get_session(session, account_id, ids[0])
    events, measured = events_of(session, found), telemetry_of(line_of(session), found)
    assert [event.name for event in events] == ["start", "pause", "end"]
    assert measured.started_at == found.started_at
    assert measured.series[0].values.tolist() == [1000.0] * 10
    assert compact_due(session, now=NOW) == 5
    assert events_of(session, found) == events
    sealed = telemetry_of(line_of(session), found, points=100, channels=["amplitude_ua"])
    assert sealed.series[0].values.tolist() == [1000.0] * 10


def test_a_session_whose_frames_are_gone_has_no_telemetry(
    session: Session, account_id: UUID, ids: list[UUID]
) -> None:
    found = get_session(session, account_id, ids[0])
    session.execute(StoredFrame.__table__.delete())  # type: ignore[attr-defined]
    assert events_of(session, found) == []
    assert telemetry_of(line_of(session), found).series == ()
    assert found.started_at + timedelta(seconds=10) == found.ended_at
