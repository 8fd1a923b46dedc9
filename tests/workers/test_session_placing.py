"""Whose a session is and when it was, also where that turns out otherwise later."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.devices.anchors import Anchor, BootAnchor, BootKey
from cymba.devices.claiming import release
from cymba.devices.clocks import to_ms
from cymba.devices.tables import DeviceTenure
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.tables import SessionExtent, StimulationSession
from cymba.stimulation.wire.messages import Frame
from tests.stimulation.conftest import only_session
from tests.stimulation.worker_steps import changes, summarise_due

pytestmark = pytest.mark.usefixtures("account_id")

DEVICE = "device-0001"
NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)  # when the fixtures deliver
Deliver = Callable[..., list[Any]]


def test_a_session_belongs_to_the_holder_at_its_time(
    session: Session,
    account_id: UUID,
    tape: Any,
    deliver: Deliver,
    person: Callable[..., UUID],
    booted_at: datetime,
) -> None:
    of_first = tape().start().end()
    deliver(session, of_first.frames, booted_at + timedelta(hours=1))
    release(session, account_id, DEVICE, booted_at + timedelta(hours=2))
    next_id = person(session, "next@example.org")
    claimed_at = booted_at + timedelta(hours=5)
    session.add(DeviceTenure(device_id=DEVICE, account_id=next_id, claimed_at=claimed_at))
    session.flush()
    of_nobody = tape(sid=UUID(int=2), up=3 * 3_600_000)
    of_nobody.seq = 10
    of_nobody.start().end()
    deliver(session, of_nobody.frames)
    summarise_due(session, now=NOW)
    rows = session.execute(select(StimulationSession.sid, StimulationSession.account_id))
    assert dict(rows.all()) == {of_first.sid: account_id, UUID(int=2): next_id}


def test_retiming_takes_a_session_from_who_did_not_record_it(
    session: Session,
    account_id: UUID,
    tape: Any,
    deliver: Deliver,
    person: Callable[..., UUID],
    exchange: Callable[..., None],
    booted_at: datetime,
) -> None:
    # Without an anchor the boot is placed near its arrival, when another held the device.
    recorded = tape(store=99).start().end()
    next_id = person(session, "next@example.org", "Asia/Tokyo")
    session.execute(update(DeviceTenure).values(released_at=booted_at + timedelta(hours=2)))
    session.add(
        DeviceTenure(
            device_id=DEVICE, account_id=next_id, claimed_at=booted_at + timedelta(hours=2)
        )
    )
    session.flush()
    deliver(session, recorded.frames)
    summarise_due(session, now=NOW)
    row = only_session(session)
    assert (row.account_id, row.time_source, row.time_zone) == (next_id, "arrival", "Asia/Tokyo")
    row.note, row.excluded = "mine", True
    session.flush()
    exchange(session, {(99, 1): booted_at})
    session.execute(update(SessionExtent).values(dirty=True))
    summarise_due(session, now=NOW)
    row = only_session(session)
    # It came too late for who held the device then: the next holder could have made it.
    assert (row.account_id, row.time_source) == (None, "anchored")
    assert (row.note, row.excluded, row.time_zone) == (None, False, "UTC")
    assert changes(session)[next_id][1] is True
    assert account_id not in changes(session)


def test_a_clock_that_another_store_shows_to_be_off_widens_what_it_placed(
    session: Session, tape: Any, deliver: Deliver, booted_at: datetime
) -> None:
    """Before a factory reset the device's own clock was all there was; after it, it was checked."""

    def by_own_clock(frames: Sequence[Frame], off: timedelta) -> list[Frame]:
        began_ms = int(to_ms(booted_at + off))
        return [msgspec.structs.replace(one, utc=began_ms + one.up) for one in frames]

    before = tape(store=97).start().samples(amplitude_ua=[1_000] * 10).end()
    deliver(session, by_own_clock(before.frames, timedelta()))
    summarise_due(session, now=NOW)
    row = only_session(session)
    assert row.time_source == "device_clock"
    assert row.time_error_ms < 3_600_000
    after = tape(sid=UUID(int=8), store=98).start()
    deliver(session, by_own_clock(after.frames, timedelta(hours=1)))
    summarise_due(session, now=NOW)
    known = Anchor("exchange", 60_000, to_ms(booted_at) + 60_000, 20.0)
    ingest(session, [], exchanges=[BootAnchor(BootKey(DEVICE, 98, 1), known)])
    summarise_due(session, now=NOW)
    session.expire_all()
    assert row.time_source == "device_clock"
    assert row.time_error_ms >= 3_600_000
