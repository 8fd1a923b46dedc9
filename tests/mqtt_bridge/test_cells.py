"""A bridge turns away what comes from a device of another cell: so it is where that broker's
follower hangs, or a certificate lets in more than it should."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from cymba.database import UnitOfWork, utc_now
from cymba.devices import cells, moving
from cymba.devices.provisioning import Credentials
from cymba.devices.tables import CellMove, Device, DevicePresence
from cymba.settings import FIRST_CELL
from cymba.stimulation.ingest.decide import Refused, Stored
from cymba.stimulation.wire.messages import Presence, ReportedState, to_json
from mqtt_bridge import contacts
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.delivery_queue import IncomingMessage
from mqtt_bridge.topics import Subject
from mqtt_bridge.transaction import WriterCache, Written, append, write
from tests.end_to_end.devices import session_frames
from tests.mqtt_bridge.test_writer import deliveries

NORTH = "north"
ONLINE = to_json(Presence(online=True, store=5, boot=1, sent=1))
FRAMES = [to_json(one) for one in session_frames(5, 4, 1)]


@pytest.fixture
def mover(engine: Engine, devices: list[Credentials]) -> str:
    """A device that is to come to the other cell."""
    with UnitOfWork(engine) as session, session.begin():
        cells.add(session, NORTH, "mqtts://north.example.org", utc_now())
        key = Ed25519PrivateKey.generate()
        moving.ask(session, key, devices[0].device_id, NORTH, utc_now())
    return devices[0].device_id


def of(subject: Subject, device_id: str, payload: bytes) -> IncomingMessage:
    (one,) = deliveries(device_id, [payload])
    one.subject = subject
    return one


def take_in(engine: Engine, cache: WriterCache, *batch: IncomingMessage) -> Written:
    with cache.quota.reserve() as reservation, UnitOfWork(engine) as session:
        written = write(session, batch, cache, reservation)
        session.commit()
    cache.remember(batch, written)
    cache.contacts.do()
    return written


def cell_of(engine: Engine, device_id: str) -> str:
    with UnitOfWork(engine) as session:
        return session.get_one(Device, device_id).cell


def test_a_device_that_has_moved_is_turned_away_and_keeps_its_frames(
    engine: Engine, devices: list[Credentials], mover: str
) -> None:
    old, new = (WriterCache(Contacts(engine, cell)) for cell in (FIRST_CELL, NORTH))
    neighbour = devices[1].device_id
    assert take_in(engine, old, *deliveries(mover, FRAMES[:1])).outcomes == [Stored(5, 1)]
    take_in(engine, new, of(Subject.PRESENCE, mover, ONLINE))
    assert cell_of(engine, mover) == NORTH
    with UnitOfWork(engine) as session, session.begin():
        session.get_one(DevicePresence, mover).online = False
    batch = [
        *deliveries(mover, FRAMES[1:2]), of(Subject.PRESENCE, mover, ONLINE),
        of(Subject.STATE, mover, to_json(ReportedState(ver=9, applied=True))),
        *deliveries(neighbour, FRAMES[:1]),
    ]  # fmt: skip
    written = take_in(engine, WriterCache(Contacts(engine, FIRST_CELL)), *batch)
    refused = "this device belongs to the broker of cell 'north'"
    assert Refused(5, 2, "other-cell", refused) in written.outcomes
    assert Stored(5, 1) in written.outcomes
    assert written.malformed == [Subject.PRESENCE, Subject.STATE]
    assert written.unknown_programmes == 0
    (ack,) = (ack for device_id, ack, _ in written.answers if device_id == mover)
    assert [(one.seq, one.retry) for one in ack.rejected] == [(2, True)]
    assert ack.upto == 0  # an acknowledgement never takes back what an earlier one gave
    with UnitOfWork(engine) as session:
        assert not session.get_one(DevicePresence, mover).online


def test_a_bridge_that_remembers_a_device_forgets_it_once_it_has_moved(
    engine: Engine, mover: str
) -> None:
    old, new = (WriterCache(Contacts(engine, cell)) for cell in (FIRST_CELL, NORTH))
    take_in(engine, old, *deliveries(mover, FRAMES[:1]))
    assert mover in old.contacts.holders
    take_in(engine, new, of(Subject.PRESENCE, mover, ONLINE))
    late = deliveries(mover, FRAMES[1:2])
    late[0].arrived_at += timedelta(minutes=2)
    old.remember(late, Written())
    old.contacts._due_s = 0.0
    old.contacts.do()
    assert mover not in old.contacts.holders
    line = engine.raw_connection()
    line.driver_connection.autocommit = True
    assert append(line.driver_connection, late, old)[2] == late  # type: ignore[arg-type]
    line.close()


def test_a_frame_shows_that_a_device_has_come_where_its_presence_was_lost_in_a_crash(
    engine: Engine, mover: str
) -> None:
    new = WriterCache(Contacts(engine, NORTH))
    assert take_in(engine, new, *deliveries(mover, FRAMES[:2])).outcomes == [
        Stored(5, 1), Stored(5, 2),
    ]  # fmt: skip
    assert cell_of(engine, mover) == NORTH
    with UnitOfWork(engine) as session:
        assert session.get(CellMove, mover) is None


def test_however_many_connect_at_once_they_are_received_some_at_a_time(
    engine: Engine, devices: list[Credentials], mover: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet that dials again after its broker was down."""
    monkeypatch.setattr(contacts, "AT_ONCE", 2)
    received: list[int] = []

    def counted(session: Session, device_ids: set[str], *rest: Any) -> list[str]:
        received.append(len(device_ids))
        return moving.arrive(session, device_ids, *rest)

    monkeypatch.setattr(contacts, "arrive", counted)
    north = Contacts(engine, NORTH)
    north.note_connected([*(one.device_id for one in devices), *map(str, range(5))])
    while north.do():
        pass
    assert sum(received) == len(devices) + 5
    assert max(received) == 2
    assert cell_of(engine, mover) == NORTH


def test_a_device_that_was_told_to_go_and_comes_back_is_told_to_the_operator(
    engine: Engine, devices: list[Credentials], mover: str
) -> None:
    cache = WriterCache(Contacts(engine, FIRST_CELL))
    online = [of(Subject.PRESENCE, one.device_id, ONLINE) for one in devices]
    with capture_logs() as logs:
        take_in(engine, cache, *online)
        assert logs == []
        with UnitOfWork(engine) as session, session.begin():
            session.get_one(CellMove, mover).told_at = utc_now()
        take_in(engine, cache, *online)
    assert [(one["device"], one["awaits"]) for one in logs] == [(mover, NORTH)]
    assert cell_of(engine, mover) == FIRST_CELL


def test_what_the_broker_had_retained_shows_no_arrival(engine: Engine, mover: str) -> None:
    earlier = of(Subject.PRESENCE, mover, ONLINE)
    earlier.retained = True
    take_in(engine, WriterCache(Contacts(engine, NORTH)), earlier)
    assert cell_of(engine, mover) == FIRST_CELL
