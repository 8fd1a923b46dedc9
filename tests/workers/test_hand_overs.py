"""Nobody gets a session into their record that a later holder of the device could have made."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.database import line_of
from cymba.devices.clocks import to_ms
from cymba.devices.tables import DeviceTenure
from cymba.stimulation.archive.compaction import compact_session
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.session.live import SentRanges, read_update
from cymba.stimulation.session.queries import events_of, telemetry_of
from cymba.stimulation.tables import SessionExtent, StimulationSession
from cymba.stimulation.wire.messages import Frame
from tests.stimulation.conftest import (
    Tape,
    add_device,
    add_person,
    deliver_frames,
    exchange_clocks,
)
from tests.stimulation.worker_steps import summarise_due

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
NOW = BEGAN + timedelta(days=200)


class Recorded(NamedTuple):
    """A session, with who made it (by the number of their tenure) and when it comes."""

    maker: int
    after: timedelta  # the beginning of that tenure
    uploaded_after: timedelta
    is_new_store: bool
    is_new_boot: bool
    clock_off: timedelta | None  # of the device's own clock, None: it does not know the date
    is_exchanged: bool  # right when it was recorded
    # Written as if by whoever recorded first, whose boots and sessions the device knows.
    imitates: Literal["boot", "session"] | None


def recordings() -> st.SearchStrategy[Recorded]:
    days = st.integers(0, 60).map(lambda hours: timedelta(hours=hours))
    return st.builds(
        Recorded,
        maker=st.integers(0, 3),
        after=days,
        uploaded_after=st.sampled_from([timedelta(minutes=30), DAY, 20 * DAY, 60 * DAY]),
        is_new_store=st.booleans(),
        is_new_boot=st.booleans(),
        clock_off=st.none()
        | st.sampled_from([timedelta(0), -DAY, -10 * DAY, -20 * DAY, -40 * DAY, 5 * DAY]),
        is_exchanged=st.booleans(),
        imitates=st.sampled_from([None, None, "boot", "session"]),
    )


def sessions_of(session: Session, device_id: str) -> dict[UUID, UUID | None]:
    return {sid: row.account_id for sid, row in rows_of(session, device_id).items()}


def rows_of(session: Session, device_id: str) -> dict[UUID, StimulationSession]:
    session.expire_all()
    mine = select(StimulationSession).where(StimulationSession.device_id == device_id)
    return {row.sid: row for row in session.scalars(mine)}


def by_own_clock(frames: Sequence[Frame], booted_at: datetime) -> list[Frame]:
    began_ms = int(to_ms(booted_at))
    return [msgspec.structs.replace(one, utc=began_ms + one.up) for one in frames]


def hand_over(session: Session, device_id: str, account_id: UUID, at: datetime) -> None:
    held = DeviceTenure.device_id == device_id, DeviceTenure.released_at.is_(None)
    session.execute(update(DeviceTenure).where(*held).values(released_at=at))
    session.add(DeviceTenure(device_id=device_id, account_id=account_id, claimed_at=at))
    session.flush()


Made = tuple[int, datetime, Recorded, tuple[int, int], list[Frame]]


def lived(of: Sequence[Recorded], begins: Sequence[datetime]) -> list[Made]:
    """The frames of each recording, in the order in which the device writes them."""
    last = len(begins) - 1
    made: list[Made] = []
    store, boot = 100, 1
    seqs: dict[int, int] = {}
    for one in sorted(of, key=lambda one: begins[min(one.maker, last)] + one.after):
        maker = min(one.maker, last)
        at = begins[maker] + one.after
        if maker < last and at >= begins[maker + 1]:
            at = begins[maker + 1] - timedelta(hours=2)
        before = made[-1][1] if made else None
        key, sid = (store, boot), uuid4()
        if not made:
            one = one._replace(imitates=None)  # noqa: PLW2901 - there is nobody yet
        if one.imitates is not None:
            key = made[0][3]
            sid = made[0][4][0].sid if one.imitates == "session" else sid
        else:
            if one.is_new_store or (before is not None and at <= before):
                store, boot = store + 1, 1
            else:
                boot += one.is_new_boot or before is not None
            key = (store, boot)
        tape = Tape(sid=sid, store=key[0], boot=key[1])
        tape.seq = seqs.get(key[0], 0)
        tape.start().samples(amplitude_ua=[1_000] * 10).end()
        seqs[key[0]] = tape.seq
        frames: list[Frame] = tape.frames
        if one.clock_off is not None:
            frames = by_own_clock(frames, at + one.clock_off)
        made.append((maker, at, one, key, frames))
    return made


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    lengths=st.lists(st.sampled_from([2 * DAY, 10 * DAY, 30 * DAY]), min_size=1, max_size=3),
    of=st.lists(recordings(), min_size=1, max_size=6),
    returns=st.booleans(),
)
def test_nobody_gets_what_a_later_holder_could_have_made(
    session: Session, lengths: list[timedelta], of: list[Recorded], returns: bool
) -> None:
    """Devices write one store and boot after the other, and their clocks go as they like. Clocks
    are exchanged when a session is recorded, or never."""
    tag = uuid4().hex[:12]
    people = [add_person(session, f"{n}-{tag}@example.org") for n in range(len(lengths) + 1)]
    if returns:
        people[-1] = people[0]
    device_id = add_device(session, people[0], f"device-{tag}")
    begins = [BEGAN]
    for length in lengths:
        begins.append(begins[-1] + length)
    last = len(people) - 1
    made = lived(of, begins)
    events: list[tuple[datetime, int, Any]] = [
        (begin, 0, person) for begin, person in zip(begins[1:], people[1:], strict=True)
    ]
    for _, at, one, key, frames in made:
        if one.is_exchanged and one.imitates is None:
            events.append((at + timedelta(minutes=1), 1, (key, at)))
        events.append((at + one.uploaded_after, 2, frames))
    for at, kind, what in sorted(events, key=lambda event: event[:2]):
        if kind == 0:
            hand_over(session, device_id, what, at)
        elif kind == 1:
            exchange_clocks(session, {what[0]: what[1]}, device_id)
        else:
            deliver_frames(session, what, at, device_id)
            summarise_due(session, now=at)
    summarise_due(session, now=NOW)
    rows = rows_of(session, device_id)
    theirs: dict[UUID, int] = defaultdict(int)
    for maker, _, _, _, frames in made:
        owner = rows[frames[0].sid].account_id
        held_until = max((n for n, person in enumerate(people) if person == owner), default=last)
        theirs[frames[0].sid] += len(frames) if held_until >= maker else 0
    for maker, at, one, _, frames in made:
        row = rows[frames[0].sid]
        # Not a frame that a later holder could have made.
        assert row.account_id is None or 0 < row.frames_stored <= theirs[row.sid]
        # Nothing is taken from who made it where the server knew of it in their time.
        is_known = at + one.uploaded_after < (begins[maker + 1] if maker < last else NOW)
        if one.imitates is None and one.is_exchanged and is_known and one.uploaded_after <= DAY:
            assert row.account_id == people[maker]
            assert row.frames_stored >= len(frames)


@pytest.fixture
def handed_over(session: Session) -> tuple[str, UUID, UUID]:
    """A device with its first and its present holder."""
    first, second = (add_person(session, f"{name}@example.org") for name in ("ann", "bob"))
    device_id = add_device(session, first)
    hand_over(session, device_id, second, BEGAN + 30 * DAY)
    return device_id, first, second


@pytest.mark.parametrize("is_known_store", [True, False])
def test_a_store_with_a_clock_that_lies_writes_into_nobodys_record(
    session: Session, handed_over: tuple[str, UUID, UUID], is_known_store: bool
) -> None:
    device_id, first, second = handed_over
    early = Tape(sid=UUID(int=1), store=5).start().end()
    deliver_frames(
        session, by_own_clock(early.frames, BEGAN + 9 * DAY), BEGAN + 10 * DAY, device_id
    )
    forged = Tape(sid=UUID(int=2), store=5 if is_known_store else 6, boot=2)
    forged.seq = 10
    forged.start().end()
    uploaded_at = BEGAN + 35 * DAY
    deliver_frames(session, by_own_clock(forged.frames, BEGAN + 15 * DAY), uploaded_at, device_id)
    summarise_due(session, now=uploaded_at)
    assert sessions_of(session, device_id) == {UUID(int=1): first, UUID(int=2): None}
    # A clock that is known places it with who made it.
    exchange_clocks(session, {(forged.store, 2): BEGAN + 34 * DAY}, device_id)
    session.execute(update(SessionExtent).values(dirty=True))
    summarise_due(session, now=uploaded_at)
    assert sessions_of(session, device_id) == {UUID(int=1): first, UUID(int=2): second}


@pytest.mark.parametrize("is_known_session", [True, False])
def test_a_boot_that_was_known_before_takes_nothing_more(
    session: Session, handed_over: tuple[str, UUID, UUID], is_known_session: bool
) -> None:
    """The new holder has the device, and so all that it knows: its boots, its sessions."""
    device_id, first, _ = handed_over
    exchange_clocks(session, {(5, 3): BEGAN + 20 * DAY}, device_id)
    own = Tape(sid=UUID(int=1), store=5, boot=3).start().samples(heart_rate_bpm=[60] * 10)
    deliver_frames(session, own.frames, BEGAN + 20 * DAY + timedelta(hours=1), device_id)
    forged = Tape(sid=UUID(int=1 if is_known_session else 2), store=5, boot=3)
    forged.seq = own.seq + 5
    forged.samples(heart_rate_bpm=[180] * 10).end()
    deliver_frames(session, forged.frames, BEGAN + 60 * DAY, device_id)
    summarise_due(session, now=BEGAN + 60 * DAY)
    rows = rows_of(session, device_id)
    late = {} if is_known_session else {UUID(int=2): None}
    assert {sid: row.account_id for sid, row in rows.items()} == {UUID(int=1): first} | late
    row = rows[UUID(int=1)]
    assert (row.frames_stored, row.state) == (len(own.frames), "ended")
    told = {one.channel: list(one.values) for one in telemetry_of(line_of(session), row).series}
    assert told["heart_rate_bpm"] == [60] * 10
    live = read_update(session, first, row.id, SentRanges())
    assert len(live.frames) == len(own.frames)
    # And after they were compacted, all of them: what is held aside is not lost.
    assert compact_session(session, SessionKey(device_id, row.sid))
    assert len(load_frames(session, device_id, row.sid)) >= len(own.frames)
    assert len(read_update(session, first, row.id, SentRanges()).frames) == len(own.frames)
    assert [one.name for one in events_of(session, row)] == ["start"]
