"""A device's desired programme is retained on the broker, even after the broker lost it."""

import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session

from conformance.listener import hang_up
from cymba.accounts.tables import Change
from cymba.database import UnitOfWork, utc_now
from cymba.devices.messages import Desired, Presence, ReportedState
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.programme import Accepted, Wanted, set_programme
from cymba.devices.provisioning import Credentials
from cymba.devices.signing import verify
from cymba.devices.tables import DeviceProgramme, DeviceTenure
from cymba.devices.withdrawal import ask_withdrawal
from cymba.stimulation.wire.messages import to_json
from tests.end_to_end.parts import BRIDGE_SECRET, PATIENCE_S, Broker, wait_until
from tests.mqtt_bridge.conftest import MakeBridge, MakeTalker, Talker

pytestmark = pytest.mark.usefixtures("versions_from_one")

KEY = Ed25519PrivateKey.generate()
NO_CURRENT = {"amplitude_ua": 0}  # needs no answers to the contraindication questions
SetProgramme = Callable[[str], int]


@pytest.fixture
def set_next(engine: Engine) -> SetProgramme:
    """Sets the next version of a device's programme; gives its number."""

    def make(device_id: str) -> int:
        with UnitOfWork(engine) as session, session.begin():
            account_id = session.scalars(
                select(DeviceTenure.account_id).where(DeviceTenure.device_id == device_id)
            ).one()
            assert account_id is not None
            versions = session.scalars(
                select(DeviceProgramme.ver).where(DeviceProgramme.device_id == device_id)
            )
            wanted = Wanted(usual_programme(MODELS["ear_cymba"]), NO_CURRENT)
            latest = max(versions, default=0)
            outcome = set_programme(
                session, KEY, account_id, device_id, wanted, if_version=latest, now=utc_now()
            )
            assert isinstance(outcome, Accepted)
            return outcome.row.ver

    return make


@pytest.fixture
def programme(engine: Engine) -> Callable[[str], DeviceProgramme]:
    """The newest version of a device's programme."""

    def read(device_id: str) -> DeviceProgramme:
        with UnitOfWork(engine) as session:
            return session.scalars(
                select(DeviceProgramme)
                .where(DeviceProgramme.device_id == device_id)
                .order_by(DeviceProgramme.ver.desc())
                .limit(1)
            ).one()

    return read


def hear_desired(talker: Talker) -> Desired:
    return msgspec.json.decode(talker.hear("desired"), type=Desired)


def test_a_device_hears_what_is_desired_and_its_report_is_kept(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    programme: Callable[[str], DeviceProgramme],
) -> None:
    make_bridge()
    device_id = devices[0].device_id
    talker = talk(devices[0])
    other = talk(devices[1])
    set_next(device_id)
    desired = hear_desired(talker)
    assert verify(KEY.public_key(), device_id, desired)
    assert (desired.ver, desired.limits) == (1, NO_CURRENT)
    talker.say("state", to_json(ReportedState(ver=1, applied=True)))
    wait_until(lambda: programme(device_id).applied is True, what="the report is stored")
    wait_until(lambda: programme(device_id).published_at is not None, what="it is marked")
    assert other.heard.empty()


def test_what_a_device_says_of_a_programme_is_told_to_its_persons_apps(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    session: Session,
) -> None:
    make_bridge()
    device_id = devices[0].device_id

    def told() -> list[tuple[str, str, int]]:
        session.rollback()
        return [(one.kind, one.entity_id, one.number) for one in session.scalars(select(Change))]

    set_next(device_id)
    wait_until(lambda: told() == [("device", device_id, 1)], what="they are told that it was sent")
    talk(devices[0]).say("state", to_json(ReportedState(ver=1, applied=True)))
    wait_until(lambda: told() == [("device", device_id, 2)], what="they are told that it is held")


def test_a_device_that_comes_later_finds_the_newest(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    programme: Callable[[str], DeviceProgramme],
) -> None:
    make_bridge()
    device_id = devices[0].device_id
    for ver in (1, 2, 3):
        assert set_next(device_id) == ver
        wait_until(
            lambda: programme(device_id).published_at is not None,
            what="it is published",
        )
    assert hear_desired(talk(devices[0])).ver == 3


def test_what_is_set_while_the_broker_is_away_is_published_when_it_is_back(
    make_bridge: MakeBridge,
    broker: Broker,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    programme: Callable[[str], DeviceProgramme],
) -> None:
    running = make_bridge()
    broker.kill()
    wait_until(lambda: not running.connected(), what="the bridge has noticed")
    set_next(devices[0].device_id)
    broker.start()
    assert hear_desired(talk(devices[0])).ver == 1
    wait_until(
        lambda: programme(devices[0].device_id).published_at is not None,
        what="it is marked",
    )
    assert running.outcome == []


def test_a_broker_that_forgot_everything_is_told_again(
    make_bridge: MakeBridge,
    broker: Broker,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    programme: Callable[[str], DeviceProgramme],
) -> None:
    """Killed before its first autosave, Mosquitto keeps nothing; the embedded one never does."""
    running = make_bridge()
    device_id = devices[0].device_id
    set_next(device_id)
    talker = talk(devices[0])
    hear_desired(talker)
    talker.say("state", to_json(ReportedState(ver=1, applied=True)))
    wait_until(lambda: bool(programme(device_id).applied), what="the report")
    talker.stop()
    broker.kill()
    broker.start()
    wait_until(running.connected, what="the bridge is back")
    assert hear_desired(talk(devices[0])).ver == 1


def test_a_device_that_never_spoke_of_it_hears_it_again_when_it_comes_online(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
    programme: Callable[[str], DeviceProgramme],
) -> None:
    make_bridge()
    talker = talk(devices[0])
    set_next(devices[0].device_id)
    assert hear_desired(talker).ver == 1
    # What comes online before that is served by the message that it has just heard.
    wait_until(
        lambda: programme(devices[0].device_id).published_at is not None,
        what="it is marked",
    )
    talker.say("presence", to_json(Presence(online=True, store=1, boot=1, sent=5)), retain=True)
    assert hear_desired(talker).ver == 1
    talker.say("state", to_json(ReportedState(ver=1, applied=True)))
    talker.say("presence", to_json(Presence(online=True, store=1, boot=1, sent=6)), retain=True)
    talker.hear("ack")
    set_next(devices[0].device_id)
    assert hear_desired(talker).ver == 2  # and not the reported one once more


def test_an_erased_persons_programme_is_taken_off_the_broker(
    make_bridge: MakeBridge,
    engine: Engine,
    talk: MakeTalker,
    devices: list[Credentials],
    set_next: SetProgramme,
) -> None:
    make_bridge()
    device_id = devices[0].device_id
    talker = talk(devices[0])
    set_next(device_id)
    hear_desired(talker)
    with UnitOfWork(engine) as session, session.begin():
        session.execute(delete(DeviceProgramme))
        ask_withdrawal(session, [device_id], utc_now())
    while talker.hear("desired"):
        pass  # once more, by a bridge that has just found its broker


def retained_presence(broker: Broker, device_id: str) -> list[bytes]:
    """What the broker retains of it, as another bridge gets it."""
    heard: list[bytes] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="bridge-1", protocol=MQTTv311)
    client.username_pw_set("bridge-1", BRIDGE_SECRET)
    client.on_message = lambda _client, _userdata, message: heard.append(message.payload)  # type: ignore[arg-type]
    answered = threading.Event()
    client.on_subscribe = lambda *_: answered.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        # What is retained comes with each subscription, before what is published after it.
        client.subscribe(f"cymba/v1/{device_id}/up/presence", 1)
        assert answered.wait(PATIENCE_S)
        client.subscribe("cymba/bridge/bridge-1/echo", 1)
        client.publish("cymba/bridge/bridge-1/echo", b"last", 1)
        wait_until(lambda: b"last" in heard, what="the echo is back")
    finally:
        hang_up(client)
    return [payload for payload in heard if payload != b"last"]


def test_what_a_device_said_of_itself_is_taken_off_the_broker(
    make_bridge: MakeBridge,
    broker: Broker,
    engine: Engine,
    talk: MakeTalker,
    devices: list[Credentials],
) -> None:
    bridge = make_bridge()
    talker = talk(devices[0])
    said = [to_json(Presence(online=True, store=5, boot=1, sent=sent)) for sent in (10, 20)]
    for device in (talker, talk(devices[1])):
        device.say("presence", said[0], retain=True)
        device.hear("ack")
    assert retained_presence(broker, talker.device_id) == [said[0]]
    with UnitOfWork(engine) as session, session.begin():
        ask_withdrawal(session, [talker.device_id], utc_now())
    wait_until(
        lambda: retained_presence(broker, talker.device_id) == [],
        what="the broker retains nothing",
    )
    assert retained_presence(broker, devices[1].device_id) == [said[0]]
    talker.say("presence", said[1], retain=True)
    talker.hear("ack")
    assert retained_presence(broker, talker.device_id) == [said[1]]
    malformed = bridge.bridge.metrics.malformed.labels("presence")
    assert not any(sample.value for one in malformed.collect() for sample in one.samples[:1])


def test_two_slots_publish_everything_in_order(
    make_bridge: MakeBridge,
    talk: MakeTalker,
    mosquitto: Broker,
    devices: list[Credentials],
    set_next: SetProgramme,
) -> None:
    del mosquitto
    for slot in (0, 1):
        make_bridge(slot=slot, slots=2)
    talker = talk(devices[0])
    versions: list[int] = []

    def change() -> Iterator[int]:
        for _ in range(10):
            yield set_next(devices[0].device_id)

    thread = threading.Thread(target=lambda: list(change()))
    thread.start()
    while not versions or versions[-1] < 10:
        versions.append(hear_desired(talker).ver)
    thread.join()
    assert versions == sorted(versions)
