"""A bridge in this process, a broker beside it, and devices that a person holds."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, select

from conformance.listener import hang_up
from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, utc_now
from cymba.devices.provisioning import Credentials, provision
from cymba.devices.tables import DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.tables import StoredFrame
from mqtt_bridge.app import Bridge, BridgeFailed
from tests.end_to_end.parts import PATIENCE_S, Broker, BrokerProcess, MosquittoBroker, wait_until
from tests.programs import or_another


@dataclass
class RunningBridge:
    """A bridge in a thread; `outcome` is how `run` ended."""

    bridge: Bridge
    outcome: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.bridge.run()
        except BridgeFailed as error:
            self.outcome.append(f"failed: {error}")
        else:
            self.outcome.append("left")

    def connected(self) -> bool:
        return self.bridge.connection.current is not None

    def stop(self) -> None:
        self.bridge.stop()
        self.join()
        if self.outcome != ["left"]:  # a process would end here, and its threads with it
            self.bridge.chores.stop()
            self.bridge.connection.stop()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


MakeBridge = Callable[..., RunningBridge]


@pytest.fixture
def devices(engine: Engine) -> list[Credentials]:
    """Four devices of one person."""
    with UnitOfWork(engine) as session:
        account = Account(email="holder@example.org")
        session.add(account)
        session.flush()
        made = list(provision(session, "ear_cymba", 4))
        session.add_all(
            DeviceTenure(device_id=one.device_id, account_id=account.id, claimed_at=utc_now())
            for one in made
        )
        session.commit()
    return made


@pytest.fixture
def broker(tmp_path: Path, database_url: str, devices: list[Credentials]) -> Iterator[Broker]:
    """A Mosquitto with the shipped configuration; the embedded broker where there is none."""
    running: Broker
    if or_another("mosquitto", "embedded") == "mosquitto":
        users = {one.device_id: one.secret for one in devices}
        running = MosquittoBroker(tmp_path / "mosquitto", users, slots=2)
    else:
        running = BrokerProcess(database_url)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def mosquitto(broker: Broker) -> MosquittoBroker:
    """What only a broker with shared subscriptions can show."""
    if not isinstance(broker, MosquittoBroker):
        pytest.skip("mosquitto is not installed")
    return broker


@pytest.fixture
def make_bridge(broker: Broker, engine: Engine) -> Iterator[MakeBridge]:
    """Start a bridge and wait until it is connected."""
    bridges: list[RunningBridge] = []

    def make(*, slot: int = 0, slots: int = 1) -> RunningBridge:
        settings = Settings(broker_url=broker.bridge_url, bridge_slots=slots)
        running = RunningBridge(Bridge(settings, engine, slot))
        bridges.append(running)
        wait_until(running.connected, what="the bridge is connected")
        return running

    yield make
    for running in bridges:
        running.stop()


class Talker:
    """A device that a test controls, and that keeps the messages it gets."""

    def __init__(self, port: int, credentials: Credentials) -> None:
        self.device_id = credentials.device_id
        self.heard: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=self.device_id, protocol=MQTTv311
        )
        self._client.username_pw_set(self.device_id, credentials.secret)
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self.heard.put(
            (message.topic.rpartition("/down/")[2], bytes(message.payload))
        )
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe([(f"cymba/v1/{self.device_id}/down/{name}", 0)
                                for name in ("ack", "time", "desired")])  # fmt: skip
        assert subscribed.wait(PATIENCE_S)

    def say(self, subject: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        topic = f"cymba/v1/{self.device_id}/up/{subject}"
        self._client.publish(topic, payload, qos, retain).wait_for_publish(PATIENCE_S)

    def hear(self, subject: str) -> bytes:
        """The next payload on `down/subject`."""
        while True:
            heard, payload = self.heard.get(timeout=PATIENCE_S)
            if heard == subject:
                return payload

    def stop(self) -> None:
        hang_up(self._client)


MakeTalker = Callable[[Credentials], Talker]


@pytest.fixture
def talk(broker: Broker) -> Iterator[MakeTalker]:
    talkers: list[Talker] = []

    def make(credentials: Credentials) -> Talker:
        talkers.append(Talker(broker.port, credentials))
        return talkers[-1]

    yield make
    for talker in talkers:
        talker.stop()


@pytest.fixture
def stored_seqs(engine: Engine) -> Callable[[str], list[int]]:
    """The numbers of a device's stored frames."""

    def read(device_id: str) -> list[int]:
        with engine.connect() as connection:
            return list(
                connection.scalars(
                    select(StoredFrame.seq)
                    .where(StoredFrame.device_id == device_id)
                    .order_by(StoredFrame.seq)
                )
            )

    return read
