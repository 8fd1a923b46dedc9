"""The embedded broker: the database admits devices, each to its own topics."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from conformance.listener import hang_up
from cymba.devices.provisioning import Credentials, provision, reissue_secret, revoke
from cymba.processes import runs
from ops import broker, cli
from ops.broker import BrokerDidNotStart, EmbeddedBroker
from tests.end_to_end.parts import PATIENCE_S, listens, wait_until

SECRET = "a secret of the tests"


@dataclass
class BrokerCaller:
    """A client, its CONNACK, and the messages it got."""

    client: Client
    reasons: list[str] = field(default_factory=list)
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    lost: threading.Event = field(default_factory=threading.Event)

    def subscribe(self, topic: str) -> bool:
        """Whether the broker grants it."""
        granted: list[bool] = []
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: granted.append(
            not reasons[0].is_failure
        )
        self.client.subscribe(topic, 1)
        wait_until(lambda: bool(granted), what="answered")
        return granted[0]


Call = Callable[..., BrokerCaller]


@pytest.fixture
def devices(session: Session) -> list[Credentials]:
    made = list(provision(session, "ear_cymba", 2))
    session.commit()
    return made


@pytest.fixture
def embedded(database_url: str) -> Iterator[EmbeddedBroker]:
    running = broker.start(database_url, secret=SECRET)
    yield running
    running.stop()


@pytest.fixture
def call(embedded: EmbeddedBroker) -> Iterator[Call]:
    callers: list[BrokerCaller] = []

    def connect(
        user: str, secret: str, *, client_id: str | None = None, will: str | None = None
    ) -> BrokerCaller:
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=client_id or user, protocol=MQTTv311,
            clean_session=True, reconnect_on_failure=False,
        )  # fmt: skip
        client.username_pw_set(user, secret)
        if will is not None:
            client.will_set(will, b"will", 1)
        caller = BrokerCaller(client)
        client.on_connect = lambda _c, _u, _f, reason, _p: caller.reasons.append(str(reason))
        client.on_disconnect = lambda *_: caller.lost.set()
        client.on_message = lambda _c, _u, message: caller.heard.append(
            (message.topic, bytes(message.payload))
        )
        client.connect("127.0.0.1", embedded.port)
        client.loop_start()
        callers.append(caller)
        wait_until(lambda: bool(caller.reasons), what="answered")
        return caller

    yield connect
    for caller in callers:
        hang_up(caller.client)


def test_a_device_comes_in_with_its_own_secret_only(
    call: Call, devices: list[Credentials], session: Session
) -> None:
    one, other = devices
    assert call(one.device_id, one.secret).reasons == ["Success"]
    refused = "Bad user name or password"
    assert call(one.device_id, other.secret).reasons == [refused]
    assert call(one.device_id, "").reasons == [refused]
    assert call("nobody-0001", one.secret).reasons == [refused]
    assert call("bridge-0", one.secret).reasons == [refused]
    assert call("bridge-0", SECRET).reasons == ["Success"]
    fresh = reissue_secret(session, one.device_id)
    session.commit()
    assert call(one.device_id, one.secret).reasons == [refused]
    assert call(one.device_id, fresh).reasons == ["Success"]
    revoke(session, one.device_id)
    session.commit()
    assert call(one.device_id, fresh).reasons == [refused]


@pytest.mark.parametrize("end", [reissue_secret, revoke])
def test_a_secret_that_ends_takes_its_connection_along(
    call: Call,
    devices: list[Credentials],
    session: Session,
    end: Callable[[Session, str], str | None],
) -> None:
    one, other = devices
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/v1/+/up/presence")
    will = f"cymba/v1/{one.device_id}/up/presence"
    device, neighbour = (
        call(one.device_id, one.secret, will=will),
        call(other.device_id, other.secret),
    )
    assert device.subscribe(f"cymba/v1/{one.device_id}/down/ack")
    end(session, one.device_id)
    session.rollback()  # nothing ends with a change that is not committed
    assert not device.lost.wait(1.5)
    fresh = end(session, one.device_id)
    session.commit()
    assert device.lost.wait(PATIENCE_S)
    wait_until(lambda: bool(bridge.heard), what="its last will is heard")
    assert not bridge.lost.is_set()
    assert not neighbour.lost.is_set()
    assert call(one.device_id, one.secret).reasons != ["Success"]
    assert (fresh is None) or call(one.device_id, fresh).reasons == ["Success"]


def test_nobody_is_put_out_by_a_stranger_under_the_same_client_id(
    call: Call, devices: list[Credentials]
) -> None:
    one, other = devices
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    assert "Success" not in call("bridge-0", "guess").reasons
    assert "Success" not in call(other.device_id, other.secret, client_id="bridge-0").reasons
    device = call(one.device_id, one.secret)
    device.client.publish(f"cymba/v1/{one.device_id}/up/frame", b"still heard", 1)
    wait_until(lambda: bool(bridge.heard), what="the bridge hears")
    assert not bridge.lost.is_set()


def test_a_device_speaks_and_hears_on_its_own_topics_only(
    call: Call, devices: list[Credentials]
) -> None:
    one, other = devices
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    assert not bridge.subscribe("#")
    device, neighbour = (call(each.device_id, each.secret) for each in devices)
    for topic in ("#", "cymba/v1/+/down/ack", f"cymba/v1/{other.device_id}/down/ack",
                  f"cymba/v1/{one.device_id}/up/frame", "$SYS/#"):  # fmt: skip
        assert not device.subscribe(topic)
    assert device.subscribe(f"cymba/v1/{one.device_id}/down/#")
    assert neighbour.subscribe(f"cymba/v1/{other.device_id}/down/ack")
    for topic in (f"cymba/v1/{other.device_id}/up/frame", f"cymba/v1/{other.device_id}/down/ack",
                  f"cymba/v1/{one.device_id}/down/ack"):  # fmt: skip
        device.client.publish(topic, b"forged", 1)
    device.client.publish(f"cymba/v1/{one.device_id}/up/frame", b"own", 1)
    bridge.client.publish(f"cymba/v1/{one.device_id}/down/ack", b"for one", 0)
    bridge.client.publish(f"cymba/v1/{other.device_id}/down/ack", b"for the other", 0)
    wait_until(
        lambda: all(caller.heard for caller in (bridge, device, neighbour)),
        what="all have heard",
    )  # fmt: skip
    assert bridge.heard == [(f"cymba/v1/{one.device_id}/up/frame", b"own")]
    assert device.heard == [(f"cymba/v1/{one.device_id}/down/ack", b"for one")]
    assert neighbour.heard == [(f"cymba/v1/{other.device_id}/down/ack", b"for the other")]


def test_a_will_on_anothers_topic_is_refused(call: Call, devices: list[Credentials]) -> None:
    one, other = devices
    foreign = f"cymba/v1/{other.device_id}/up/presence"
    assert "Success" not in call(one.device_id, one.secret, will=foreign).reasons
    own = f"cymba/v1/{one.device_id}/up/presence"
    assert call(one.device_id, one.secret, will=own).reasons == ["Success"]


def test_what_is_retained_reaches_those_alone_who_asked(
    call: Call, devices: list[Credentials]
) -> None:
    one, other = devices
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/v1/+/up/presence")
    call(one.device_id, one.secret).client.publish(
        f"cymba/v1/{one.device_id}/up/presence", b"online", 1, retain=True
    )
    wait_until(lambda: bool(bridge.heard), what="the bridge hears")
    neighbour = call(other.device_id, other.secret)
    assert neighbour.subscribe(f"cymba/v1/{other.device_id}/down/ack")
    bridge.client.publish(f"cymba/v1/{other.device_id}/down/ack", b"own", 0)
    wait_until(lambda: bool(neighbour.heard), what="the neighbour hears")
    assert neighbour.heard == [(f"cymba/v1/{other.device_id}/down/ack", b"own")]


def test_many_that_come_at_once_are_all_heard(call: Call) -> None:
    """amqtt fails a client if another subscribes at the wrong moment; ours does not."""
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/bridge/bridge-0/echo")
    users = [f"bridge-{number}" for number in range(1, 31)]
    callers: list[BrokerCaller] = []
    threads = [
        threading.Thread(target=lambda user=user: callers.append(call(user, SECRET)))
        for user in users
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(callers) == 30
    for caller in callers:
        own = caller.client._client_id.decode()
        assert caller.subscribe(f"cymba/bridge/{own}/echo")
        caller.client.publish(f"cymba/bridge/{own}/echo", b"1", 1)
    wait_until(lambda: all(caller.heard for caller in callers), what="all heard")


def test_a_taken_port_is_told_clearly(embedded: EmbeddedBroker, database_url: str) -> None:
    with pytest.raises(BrokerDidNotStart, match=f"port {embedded.port}"):
        broker.start(database_url, port=embedded.port)


def test_the_command_comes_to_the_database_as_the_settings_say(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def run(engine: Engine, **_: object) -> None:
        with engine.connect() as connection:
            line = connection.connection.driver_connection
            assert line is not None
            name = connection.scalar(text("SHOW application_name"))
            seen.append((name, line.prepare_threshold))

    monkeypatch.setattr(broker, "run", run)
    environ = {
        "CYMBA_DATABASE_URL": database_url,
        "CYMBA_DATABASE_THROUGH_PGBOUNCER": "1",
        "CYMBA_BROKER_URL": "mqtt://bridge:secret@127.0.0.1:1883",
    }
    done = CliRunner().invoke(cli.main, ["broker"], env=environ, catch_exceptions=False)
    assert (done.exit_code, seen) == (0, [("cymba broker", None)])


def test_it_comes_back_on_its_port_after_a_kill(database_url: str) -> None:
    first = broker.start(database_url, secret=SECRET)
    first.process.kill()
    first.stop()
    second = broker.start(database_url, port=first.port, secret=SECRET)
    assert second.port == first.port
    assert second.url == f"mqtt://bridge:a%20secret%20of%20the%20tests@127.0.0.1:{first.port}"
    second.stop()


def test_it_ends_with_the_process_that_started_it() -> None:
    program = (
        "from ops import broker; import time; b = broker.start(None, anonymous=True); "
        "print(b.pid, b.port, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, port = map(int, parent.stdout.readline().split())
        assert listens(port)
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not runs(pid), what="the broker has ended")


def test_clients_that_break_off_do_not_silence_the_broker(
    embedded: EmbeddedBroker, devices: list[Credentials], call: Call
) -> None:
    broken_offs = 400  # a line is logged of each: more than a pipe that nobody reads can hold
    for _ in range(broken_offs):
        with socket.create_connection((broker.HOST, embedded.port), timeout=PATIENCE_S) as line:
            line.sendall(bytes.fromhex("100100"))  # a CONNECT that says too little
    assert call(devices[0].device_id, devices[0].secret).reasons == ["Success"]


def test_one_that_sends_without_end_silences_nobody(
    call: Call, devices: list[Credentials], embedded: EmbeddedBroker
) -> None:
    """It gets its turn like the others, however much of it there is to read."""
    one, other = devices
    bridge = call("bridge-0", SECRET)
    assert bridge.subscribe("cymba/v1/+/up/frame")
    flood = [sys.executable, "-m", "tests.end_to_end.hostile", str(embedded.port),
             one.device_id, one.secret, "flood", other.device_id]  # fmt: skip
    with subprocess.Popen(flood, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: len(bridge.heard) > 10, what="the flood is heard")
            neighbour = call(other.device_id, other.secret)
            topic = f"cymba/v1/{other.device_id}/up/frame"
            for number in range(300):
                neighbour.client.publish(topic, b"%d" % number, 1)
            wait_until(
                lambda: sum(1 for heard, _ in list(bridge.heard) if heard == topic) == 300,
                what=lambda: f"its neighbour is heard; {len(bridge.heard)} are",
            )
        finally:
            process.kill()
