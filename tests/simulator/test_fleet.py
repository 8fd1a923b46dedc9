"""A fleet on a real broker, with a server that acknowledges and nothing more."""

import getpass
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import cbor2
import pytest
import trustme
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from conformance.listener import hang_up
from cymba.broker_address import BrokerAddress
from cymba.stimulation.wire.frames import decode, pack
from cymba.stimulation.wire.messages import Ack, Frame, to_json
from ops import broker as embedded
from simulator.faults import HOSTILE, Behaviour, Profile
from simulator.fleet import DeviceCredentials, Fleet
from simulator.life import Rhythm
from simulator.link import GilbertElliott
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.free_ports import free_port
from tests.programs import MOSQUITTO, needs, or_another

HURRIED = Behaviour(resend_after_s=0.5, resend_at_most_s=2.0, reconnect_at_most_s=1.0)
# An outage of the world is over in a moment at this speed, and a link's bad time comes often.
STORMY = replace(HOSTILE, loss=GilbertElliott(mean_good_s=1.0, mean_bad_s=0.3, loss_bad=0.9))
MODELS = ("ear_cymba", "ear_clip", "neck")


@dataclass
class Mosquitto:
    """A broker for everybody, that can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    extra: str = ""
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_type error\n"
            f"max_queued_messages 100000\nuser {getpass.getuser()}\n{self.extra}\n"
        )
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda: takes_connections(self.port), what="mosquitto listens")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class AmqttBroker:
    port: int = field(default_factory=free_port)
    running: embedded.EmbeddedBroker | None = None

    def start(self) -> None:
        self.running = embedded.start(None, port=self.port, anonymous=True)

    def kill(self) -> None:
        if self.running is not None:
            self.running.process.kill()
            self.running.stop()


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


AnyBroker = Mosquitto | AmqttBroker


@pytest.fixture(params=["mosquitto", "embedded"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyBroker]:
    kind = or_another(request.param, "embedded")
    made = Mosquitto(tmp_path) if kind == "mosquitto" else AmqttBroker()
    made.start()
    yield made
    made.kill()


class AckingServer:
    """Keeps what comes, acks it, and forgets nothing; `port` may go and come back."""

    def __init__(self, port: int) -> None:
        self.digests: dict[tuple[str, int, int], set[bytes]] = {}
        self.online: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="server")
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("cymba/v1/+/up/#", 1)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        wait_until(self._client.is_connected, what="connected")

    def stop(self) -> None:
        hang_up(self._client)

    def _on_message(self, client: Client, _: object, message: MQTTMessage) -> None:
        device_id, subject = message.topic.split("/")[2::2]
        if subject == "presence":
            payload = bytes(message.payload)
            said = json.loads(payload) if payload[:1] == b"{" else cbor2.loads(payload)
            self.online[device_id] = said["online"]
        if subject != "frame":
            return
        read = decode(bytes(message.payload))
        if read.store is None or read.seq is None:
            return
        digest = pack(read).digest if isinstance(read, Frame) else b""
        with self._lock:
            self.digests.setdefault((device_id, read.store, read.seq), set()).add(digest)
        ack = Ack(store=read.store, upto=0, also=[(read.seq, read.seq)])
        client.publish(f"cymba/v1/{device_id}/down/ack", to_json(ack))

    def holds_exactly(self, fleet: Fleet) -> bool:
        made = {
            (device_id, store, seq): {digest or b""}
            for device_id, frames in fleet.made.items()
            for (store, seq), digest in frames.items()
        }
        return self.digests == made


@pytest.fixture
def server(broker: AnyBroker) -> Iterator[AckingServer]:
    serving = AckingServer(broker.port)
    yield serving
    serving.stop()


def make_fleet(port: int, profile: Profile | str, *, count: int = 6, speed: float = 3_000) -> Fleet:
    devices = [
        DeviceCredentials(f"device-{at:04}", None, MODELS[at % len(MODELS)]) for at in range(count)
    ]
    return Fleet(
        f"mqtt://127.0.0.1:{port}",
        devices,
        seed=4,
        speed=speed,
        past=timedelta(hours=5) if speed > 1 else timedelta(0),
        profile=profile,
        behaviour=HURRIED,
        schedule=Rhythm(pause_s=(60.0, 300.0)),
    )


@pytest.mark.slow
def test_every_frame_arrives_whole_over_a_stormy_link_and_a_killed_broker(
    broker: AnyBroker, server: AckingServer
) -> None:
    fleet = make_fleet(broker.port, STORMY)
    fleet.start()
    wait_until(lambda: fleet.counters.acked > 100, what="acked")
    broker.kill()
    wait_until(lambda: fleet.connected == 0, what="all are cut off")
    broker.start()
    wait_until(
        lambda: fleet.counters.lost > 20 and fleet.counters.resent > 20, what="lost and sent again"
    )
    assert fleet.stop(timeout_s=PATIENCE_S)
    counters = fleet.counters
    assert server.holds_exactly(fleet)
    assert counters.made == counters.acked == sum(len(made) for made in fleet.made.values())
    assert counters.outstanding == 0
    assert 0 < counters.spoiled < counters.made
    assert counters.reconnected > 6


@pytest.mark.slow
def test_a_clean_fleet_sends_each_frame_once_and_says_goodbye(
    broker: AnyBroker, server: AckingServer
) -> None:
    fleet = make_fleet(broker.port, "clean")
    fleet.start()
    wait_until(lambda: fleet.counters.made > 500, what="made")
    assert fleet.stop(timeout_s=PATIENCE_S)
    assert server.holds_exactly(fleet)
    counters = fleet.counters
    assert counters.lost == counters.duplicated == counters.spoiled == 0
    assert counters.published == counters.made + counters.resent
    wait_until(lambda: set(server.online.values()) == {False}, what="all are offline")
    assert len(server.online) == 6


@pytest.mark.slow
def test_a_fleet_without_a_server_keeps_everything() -> None:
    port = free_port()
    fleet = make_fleet(port, "clean", count=2)
    fleet.start()
    wait_until(lambda: fleet.counters.made > 100, what="made")
    assert not fleet.stop(timeout_s=0.5)
    assert fleet.counters.acked == 0
    assert fleet.counters.outstanding == fleet.counters.made == sum(map(len, fleet.made.values()))


@pytest.mark.slow
@needs("mosquitto")
def test_devices_speak_tls_to_a_broker_with_a_certificate(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    paths = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    leaf.cert_chain_pems[0].write_to_path(paths["cert"])
    leaf.private_key_pem.write_to_path(paths["key"])
    plain = free_port()
    secured = Mosquitto(
        tmp_path,
        extra=f"certfile {paths['cert']}\nkeyfile {paths['key']}\nlistener {plain} 127.0.0.1",
    )
    secured.start()
    wait_until(lambda: takes_connections(plain), what="mosquitto's second listener listens")
    server = AckingServer(plain)
    try:
        fleet = Fleet(
            BrokerAddress("127.0.0.1", secured.port, tls=True, ca_file=paths["ca"]),
            [DeviceCredentials("device-0001", None, "neck")],
            seed=4,
            speed=3_000,
            past=timedelta(hours=5),
            profile="clean",
            behaviour=HURRIED,
        )
        fleet.start()
        wait_until(lambda: fleet.counters.made > 30, what="made")
        assert fleet.stop(timeout_s=PATIENCE_S)
        assert server.holds_exactly(fleet)
    finally:
        server.stop()
        secured.kill()
