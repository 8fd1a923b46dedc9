"""Nobody but the server sets a current, and not even the server one beyond the model's limit."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from conformance.listener import hang_up
from cymba.accounts.tables import Account
from cymba.database import utc_now
from cymba.devices.claiming import claim
from cymba.devices.contraindications import must_be_answered
from cymba.devices.messages import Desired
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.programme import Accepted, ProgrammeRefused, Wanted, set_programme
from cymba.devices.provisioning import provision
from cymba.devices.publication import unpublished
from cymba.devices.screening import answer
from cymba.devices.signing import show_public_key, sign
from cymba.devices.tables import DeviceProgramme
from cymba.settings import FIRST_CELL, Settings
from cymba.stimulation.wire.messages import to_json
from mqtt_bridge.app import Bridge
from simulator.fleet import DeviceCredentials, Fleet
from tests.end_to_end.parts import (
    BRIDGE_SECRET,
    PATIENCE_S,
    Broker,
    BrokerProcess,
    MosquittoBroker,
    wait_until,
)
from tests.programs import or_another

MODEL = MODELS["ear_cymba"]


@pytest.fixture
def held(session: Session) -> tuple[Account, DeviceCredentials, Ed25519PrivateKey]:
    """A person who may set a programme, the device that they hold, and the server's key."""
    key, now = Ed25519PrivateKey.generate(), utc_now()
    person = Account(email="ann@example.org")
    session.add(person)
    (made,) = provision(session, MODEL.name)
    session.flush()
    claim(session, person.id, made.serial, made.claim_code, now)
    questions = {question.name: "no" for question in must_be_answered(MODEL.sites)}
    answer(session, person.id, MODEL, questions, text_version="1/en", now=now)  # type: ignore[arg-type]
    session.commit()
    shown = show_public_key(key)
    return person, DeviceCredentials(made.device_id, made.secret, MODEL.name, shown), key


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    held: tuple[Account, DeviceCredentials, Ed25519PrivateKey],
) -> Iterator[Broker]:
    _, device, _ = held
    running: Broker
    if or_another(request.param, "embedded") == "mosquitto":
        users = {device.device_id: device.secret or ""}
        running = MosquittoBroker(tmp_path / "mosquitto", users, slots=2)
    else:
        running = BrokerProcess(database_url)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bridge(broker: Broker, engine: Engine) -> Iterator[Bridge]:
    running = Bridge(Settings(broker_url=broker.bridge_url), engine, 0)
    thread = threading.Thread(target=running.run)
    thread.start()
    wait_until(lambda: running.connection.current is not None, what="the bridge connects")
    yield running
    running.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


Desire = Callable[[Desired], None]


@pytest.fixture
def desire(
    broker: Broker, held: tuple[Account, DeviceCredentials, Ed25519PrivateKey]
) -> Iterator[Desire]:
    """Publish a programme as one who has broken into the broker, or holds a password of it, can."""
    _, device, _ = held
    client = Client(CallbackAPIVersion.VERSION2, client_id="bridge-1", protocol=MQTTv311)
    client.username_pw_set("bridge-1", BRIDGE_SECRET)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()

    def publish(desired: Desired) -> None:
        topic = f"cymba/v1/{device.device_id}/down/desired"
        client.publish(topic, to_json(desired), qos=1, retain=True).wait_for_publish(PATIENCE_S)

    yield publish
    hang_up(client)


@pytest.mark.slow
@pytest.mark.usefixtures("bridge")
def test_beyond_the_limit_it_is_refused_here_and_forged_by_the_device(
    session: Session,
    broker: Broker,
    desire: Desire,
    held: tuple[Account, DeviceCredentials, Ed25519PrivateKey],
) -> None:
    person, device, key = held

    def wanted(amplitude_ua: int, version: int) -> Accepted | ProgrammeRefused:
        programme = msgspec.structs.replace(usual_programme(MODEL), amplitude_ua=amplitude_ua)
        outcome = set_programme(
            session, key, person.id, device.device_id, Wanted(programme),
            if_version=version, now=utc_now(),
        )  # fmt: skip
        session.commit()
        return outcome

    most_ua = int(MODEL.hard.amplitude_ua or 0)
    assert isinstance(wanted(most_ua + 100, 0), ProgrammeRefused)
    assert unpublished(session, FIRST_CELL) == []
    assert isinstance(wanted(1_500, 0), Accepted)
    (waiting,) = unpublished(session, FIRST_CELL)
    true = waiting.desired

    fleet = Fleet(f"mqtt://127.0.0.1:{broker.port}", [device], profile="clean")
    fleet.start()
    try:
        desire(true)
        wait_until(lambda: fleet.counters.programmes_applied >= 1, what="it is applied")
        raised = msgspec.structs.replace(true.programme, amplitude_ua=most_ua)
        unsigned = msgspec.structs.replace(true, ver=true.ver + 1, programme=raised)
        elsewhere = sign(Ed25519PrivateKey.generate(), device.device_id, unsigned)
        for forged in (unsigned, elsewhere):
            refused = fleet.counters.programmes_refused
            desire(forged)
            wait_until(
                lambda refused=refused: fleet.counters.programmes_refused > refused,  # type: ignore[misc]
                what="the forged one is refused",
            )
        prescription = fleet._devices[0].life.prescription
        assert prescription.version == true.ver
        assert prescription.programme_at(0).amplitude_ua == 1_500

        def reported() -> tuple[bool | None, str | None]:
            session.rollback()
            row = session.scalars(select(DeviceProgramme)).one()
            return row.applied, row.code

        # What the device said of the forged ones is of no programme that was ever set.
        wait_until(lambda: reported() == (True, None), what="the report is stored")
    finally:
        fleet.stop(drain=False)
