"""Whatever becomes of a message, the device that is online hears the newest version."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select, text, update

from cymba.database import UnitOfWork, utc_now
from cymba.devices import publication
from cymba.devices.messages import Presence, ReportedState
from cymba.devices.provisioning import Credentials
from cymba.devices.publication import publish_again, publish_all_again
from cymba.devices.tables import DeviceProgramme
from cymba.settings import FIRST_CELL
from cymba.stimulation.wire.messages import to_json
from mqtt_bridge import publisher, reconciler
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.publisher import Publisher
from mqtt_bridge.reconciler import Reconciler
from mqtt_bridge.topics import Subject
from mqtt_bridge.transaction import WriterCache
from tests.mqtt_bridge.conftest import MakeBridge, MakeTalker
from tests.mqtt_bridge.test_cells import of, take_in
from tests.mqtt_bridge.test_publisher import SetProgramme, hear_desired, set_next

pytestmark = pytest.mark.usefixtures("versions_from_one")
__all__ = ["set_next"]


@dataclass
class Confirming:
    """A connection to a broker that confirms everything."""

    current: int | None = 1
    fresh_sessions: int = 0
    topics: list[str] = field(default_factory=list)

    def publish_retained(self, messages: Sequence[tuple[str, bytes]], _timeout_s: float) -> bool:
        self.topics += [topic for topic, _ in messages]
        return True


def make_publisher(engine: Engine, connection: Confirming) -> Publisher:
    return Publisher(engine, connection, BridgeMetrics(), FIRST_CELL)  # type: ignore[arg-type]


def test_what_another_broker_has_confirmed_reaches_the_device_that_is_online(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    engine: Engine,
    devices: list[Credentials],
    set_next: SetProgramme,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second bridge has the same database and cell, and a broker that no device comes to."""
    monkeypatch.setattr(publication, "REPORTED_WITHIN", timedelta())
    monkeypatch.setattr(reconciler, "PERIOD_S", 0.1)
    talker = talk(devices[0])
    set_next(talker.device_id)
    elsewhere = Confirming()
    make_publisher(engine, elsewhere).do()
    assert elsewhere.topics == [f"cymba/v1/{talker.device_id}/down/desired"]
    bridge = make_bridge()
    bridge.bridge.connection.fresh_sessions = 0  # its own broker has lost nothing
    talker.say("presence", to_json(Presence(online=True, store=1, boot=1, sent=5)), retain=True)
    talker.hear("ack")
    assert hear_desired(talker).ver == 1


def test_a_look_for_lost_programmes_that_fails_is_not_repeated_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def takes_too_long(_session: UnitOfWork, cell: str, *_: object, **__: object) -> None:
        asked.append(cell)
        raise TimeoutError

    monkeypatch.setattr(reconciler, "publish_unreported", takes_too_long)
    chore = Reconciler(engine, FIRST_CELL)
    with pytest.raises(TimeoutError):
        chore.do()
    assert not chore.do()
    assert asked == [FIRST_CELL]


@dataclass
class Slow(Confirming):
    """It confirms one message in time, and no more."""

    def publish_retained(self, messages: Sequence[tuple[str, bytes]], timeout_s: float) -> bool:
        return len(messages) == 1 and super().publish_retained(messages, timeout_s)


def test_a_broker_that_is_too_slow_for_many_gets_fewer_at_once(
    engine: Engine,
    devices: list[Credentials],
    set_next: SetProgramme,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = sorted(one.device_id for one in devices)
    for device_id in ids:
        set_next(device_id)
    connection = Slow()
    chore = make_publisher(engine, connection)
    for _ in range(20):
        chore.do()
    assert connection.topics == [f"cymba/v1/{device_id}/down/desired" for device_id in ids]
    monkeypatch.setattr(publisher, "begin_publication", None)  # nothing waits: it is not called
    assert not chore.do()


def test_devices_whose_programmes_always_wait_again_hold_up_no_others(
    engine: Engine,
    devices: list[Credentials],
    set_next: SetProgramme,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publisher, "AT_ONCE", 2)
    ids = sorted(one.device_id for one in devices)
    for device_id in ids:
        set_next(device_id)
    connection = Confirming()
    chore = make_publisher(engine, connection)
    for _ in range(4):  # three say at every moment that they were reset
        chore.do()
        with UnitOfWork(engine) as session, session.begin():
            publish_again(session, ids[:3], reset=ids[:3])
    order = [ids[0], ids[1], ids[2], ids[3], ids[0], ids[1], ids[2], ids[0]]
    assert connection.topics == [f"cymba/v1/{device_id}/down/desired" for device_id in order]


@pytest.mark.parametrize(("table", "column"), [("device", "id"), ("device_programme", "device_id")])
def test_a_row_that_somebody_holds_holds_up_no_other_device(
    engine: Engine,
    devices: list[Credentials],
    set_next: SetProgramme,
    table: str,
    column: str,
) -> None:
    ids = sorted(one.device_id for one in devices)
    for device_id in ids:
        set_next(device_id)
    connection = Confirming()
    chore = make_publisher(engine, connection)
    topics = [f"cymba/v1/{device_id}/down/desired" for device_id in ids]
    with UnitOfWork(engine) as holder:
        holder.execute(
            text(f"SELECT FROM {table} WHERE {column} = :id FOR UPDATE"),
            {"id": ids[1]},
        )
        assert not chore.do()
        assert connection.topics == topics
    chore.do()  # what was held comes again, and nothing else
    assert connection.topics == [*topics, topics[1]]
    chore.do()
    assert connection.topics == [*topics, topics[1]]


def test_a_device_with_a_new_store_is_sent_what_it_reported_in_the_old_one(
    engine: Engine, devices: list[Credentials], set_next: SetProgramme
) -> None:
    """A reset has emptied its flash, limits and all."""
    reset, same = devices[0].device_id, devices[1].device_id
    cache, connection = WriterCache(Contacts(engine, FIRST_CELL)), Confirming()
    chore = make_publisher(engine, connection)
    for device_id in (reset, same):
        set_next(device_id)
    chore.do()

    def says(subject: Subject, message: Presence | ReportedState, *device_ids: str) -> None:
        batch = [of(subject, device_id, to_json(message)) for device_id in device_ids]
        take_in(engine, cache, *batch)

    says(Subject.PRESENCE, Presence(online=True, store=5, boot=1, sent=1), reset, same)
    says(Subject.STATE, ReportedState(ver=1, applied=True), reset, same)
    chore.do()
    connection.topics.clear()
    says(Subject.PRESENCE, Presence(online=True, store=6, boot=1, sent=1), reset)
    says(Subject.PRESENCE, Presence(online=True, store=5, boot=2, sent=1), same)
    chore.do()
    assert connection.topics == [f"cymba/v1/{reset}/down/desired"]


def test_a_new_version_goes_before_what_a_broker_has_lost(
    engine: Engine,
    devices: list[Credentials],
    set_next: SetProgramme,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = sorted(one.device_id for one in devices)
    for device_id in ids:
        set_next(device_id)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(update(DeviceProgramme).values(published_at=utc_now()))

    def some_again(session: UnitOfWork, cell: str, *, above: str) -> str | None:
        return publish_all_again(session, cell, above=above, limit=1)

    monkeypatch.setattr(publisher, "publish_all_again", some_again)
    connection = Confirming(fresh_sessions=1)
    chore = make_publisher(engine, connection)
    while not connection.topics:
        assert chore.do()
    set_next(ids[-1])
    while chore.do():
        pass
    topics = [f"cymba/v1/{device_id}/down/desired" for device_id in ids]
    assert connection.topics == [topics[0], topics[3], topics[1], topics[2], topics[3]]
    with UnitOfWork(engine) as session:
        assert None not in session.scalars(select(DeviceProgramme.published_at)).all()
