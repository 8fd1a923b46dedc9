import socket
import ssl
import threading
from pathlib import Path
from typing import NamedTuple

import msgspec
import trustme

from cymba.broker_address import BrokerAddress
from cymba.devices.provisioning import Credentials
from cymba.settings import Settings
from mqtt_bridge.connection import Connection
from mqtt_bridge.network import Arrival
from tests.end_to_end.parts import PATIENCE_S, Broker, wait_until
from tests.free_ports import free_port
from tests.mqtt_bridge.conftest import MakeTalker


class Heard(NamedTuple):
    connection: int
    packet_id: int
    payload: bytes


class CallRecorder:
    """A receiver that keeps what it gets, and acks nothing."""

    def __init__(self) -> None:
        self.connections: list[int] = []
        self.messages: list[Heard] = []
        self.fault: Exception | None = None

    def connected(self, number: int) -> None:
        self.connections.append(number)

    def received(self, _connection: Connection, number: int, arrival: Arrival) -> None:
        if self.fault is not None:
            raise self.fault
        self.messages += [Heard(number, one.packet_id, one.payload) for one in arrival.messages]


def connect(url: str, recorder: CallRecorder) -> Connection:
    address = BrokerAddress.parse(url).for_slot("bridge-0")
    connection = Connection(address, "bridge-0", [("cymba/v1/+/up/frame", 1)], [], recorder)
    connection.start()
    return connection


def test_an_ack_of_an_earlier_connection_is_dropped(
    broker: Broker, devices: list[Credentials], talk: MakeTalker
) -> None:
    recorder = CallRecorder()
    connection = connect(broker.bridge_url, recorder)
    wait_until(lambda: connection.current == 1, what="connected")
    talker = talk(devices[0])
    wait_until(lambda: bool(talker.say("frame", b"1") or recorder.messages),
               what="subscribed")  # fmt: skip
    first = recorder.messages[0]
    connection.drop()
    wait_until(lambda: connection.current == 2, what="connected again")
    wait_until(lambda: recorder.messages[-1].connection == 2, what="sent again")
    again = next(message for message in recorder.messages if message.connection == 2)
    assert again.payload == first.payload
    assert connection.ack([(1, first.packet_id)]) == 0
    assert connection.ack([(2, again.packet_id)]) == 1
    connection.stop()


def test_what_was_acked_does_not_come_again_and_the_rest_does(
    broker: Broker, devices: list[Credentials], talk: MakeTalker
) -> None:
    recorder = CallRecorder()
    connection = connect(broker.bridge_url, recorder)
    talker = talk(devices[0])
    wait_until(lambda: bool(talker.say("frame", b"0") or recorder.messages),
               what="subscribed")  # fmt: skip
    for number in range(1, 5):
        talker.say("frame", b"%d" % number)
    wait_until(lambda: recorder.messages[-1].payload == b"4", what="all are here")
    kept = [one for one in recorder.messages if one.payload in (b"2", b"4")]
    acked = [one for one in recorder.messages if one not in kept]
    assert connection.ack((one.connection, one.packet_id) for one in acked) == len(acked)
    connection.publish(f"cymba/v1/{talker.device_id}/down/ack", b"the acks have left before me")
    talker.hear("ack")
    connection.drop()
    wait_until(lambda: connection.current == 2, what="connected again")
    talker.say("frame", b"5")
    wait_until(lambda: recorder.messages[-1].payload == b"5", what="all are here")
    again = [one.payload for one in recorder.messages if one.connection == 2]
    assert again == [b"2", b"4", b"5"]
    connection.stop()


def test_nothing_leaves_while_there_is_no_connection() -> None:
    connection = connect(f"mqtt://127.0.0.1:{free_port()}", CallRecorder())
    assert not connection.publish("cymba/v1/device-0001/down/ack", b"{}")
    assert connection.answer([(b"cymba/v1/device-0001/down/ack", b"{}")], [(0, 1), (1, 1)]) == 0
    assert not connection.unsubscribe(0.1)
    assert connection.problem() is None
    connection.stop()


def test_a_failing_callback_is_noticed(
    broker: Broker, devices: list[Credentials], talk: MakeTalker
) -> None:
    recorder = CallRecorder()
    recorder.fault = RuntimeError("a fault of ours")
    connection = connect(broker.bridge_url, recorder)
    wait_until(lambda: connection.current == 1, what="connected")
    assert connection.problem() is None
    talker = talk(devices[0])
    wait_until(lambda: bool(talker.say("frame", b"1") or connection.problem()), what="seen")
    assert "a fault of ours" in str(connection.problem())
    connection.stop()


def test_a_dead_network_thread_is_noticed(broker: Broker) -> None:
    connection = connect(broker.bridge_url, CallRecorder())
    wait_until(lambda: connection.current == 1, what="connected")
    assert connection.problem() is None
    connection._client.loop_misc = None  # type: ignore[assignment]
    wait_until(lambda: connection.problem() is not None, what="noticed")
    assert str(connection.problem()).startswith("the network thread failed: TypeError")


def test_tls_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    """The handshake alone: what is said over it is the same."""
    authority = trustme.CA()
    server, client = authority.issue_cert("localhost"), authority.issue_cert("bridge-0")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    certificates = Settings(
        broker_ca_file=tmp_path / "ca.pem",
        broker_client_cert_file=tmp_path / "cert.pem",
        broker_client_key_file=tmp_path / "key.pem",
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        port = listener.getsockname()[1]
        settings = msgspec.structs.replace(certificates, broker_url=f"mqtts://localhost:{port}")
        address = BrokerAddress.of(settings).for_slot("bridge-0")
        connection = Connection(address, "bridge-0", [], [], CallRecorder())
        connection.start()
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as line:
            assert line.recv(1)[0] == 0x10  # CONNECT
            peer = line.getpeercert()
            assert peer
            assert ("DNS", "bridge-0") in peer["subjectAltName"]
        connection.stop()


def packet(line: socket.socket) -> tuple[int, bytes]:
    """The next one that a client sends, if it is no longer than 127 bytes."""
    head = line.recv(2, socket.MSG_WAITALL)
    return head[0] & 0xF0, line.recv(head[1], socket.MSG_WAITALL)


def accept(listener: socket.socket) -> socket.socket:
    line, _ = listener.accept()
    line.settimeout(PATIENCE_S)
    assert packet(line)[0] == CONNECT
    line.sendall(b"\x20\x02\x01\x00")
    return line


CONNECT, PUBLISH = 0x10, 0x30


def test_what_a_connection_left_unconfirmed_does_not_come_after_what_is_newer() -> None:
    """The newer one is published by this slot or another, as soon as there is a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        connection = connect(f"mqtt://127.0.0.1:{listener.getsockname()[1]}", CallRecorder())
        first = accept(listener)
        wait_until(lambda: connection.current == 1, what="connected")
        outcome: list[bool] = []
        waiting = threading.Thread(
            target=lambda: outcome.append(connection.publish_retained([("a", b"1")], PATIENCE_S))
        )
        waiting.start()
        while packet(first)[0] != PUBLISH:
            pass
        first.close()
        waiting.join()
        assert outcome == [False]
        with accept(listener) as second:
            wait_until(lambda: connection.current == 2, what="connected again")
            connection.publish_retained([("a", b"2")], 0)
            published = []
            while b"2" not in published:
                kind, body = packet(second)
                if kind == PUBLISH:
                    published.append(body[-1:])
            assert published == [b"2"]
        connection.stop()


def test_what_waits_for_a_broker_that_confirms_nothing_does_not_pile_up() -> None:
    """Nor does it come after what is published since, by this slot or another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        connection = connect(f"mqtt://127.0.0.1:{listener.getsockname()[1]}", CallRecorder())
        with accept(listener) as line:
            wait_until(lambda: connection.current == 1, what="connected")
            for _ in range(3):
                assert not connection.publish_retained([("a", b"1")] * 30, 0)
            outcome: list[bool] = []
            waiting = threading.Thread(
                target=lambda: outcome.append(
                    connection.publish_retained([("a", b"2")], PATIENCE_S)
                )
            )
            waiting.start()
            published = []
            while b"2" not in published:
                kind, body = packet(line)
                if kind == PUBLISH:
                    published.append(body[-1:])
                    line.sendall(b"\x40\x02" + body[3:5])  # its confirmation
            waiting.join()
            assert outcome == [True]
            assert published == [b"1"] * 20 + [b"2"]  # paho's window had gone out already
        connection.stop()


class Watched:
    """A lock that says whether another one was held when it was taken."""

    def __init__(self, other: threading.Lock) -> None:
        self._other = other
        self._lock = threading.RLock()
        self.taken_under_it: list[bool] = []

    def __enter__(self) -> None:
        self.taken_under_it.append(self._other.locked())
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_connection_that_ends_at_once_and_who_publishes_do_not_wait_for_each_other() -> None:
    """Paho calls back under its own lock, and the callback takes ours."""
    connection = connect(f"mqtt://127.0.0.1:{free_port()}", CallRecorder())
    connection.stop()
    connection._client._out_message_mutex = watched = Watched(connection._lock)  # type: ignore[assignment]
    connection._current = 1
    connection.publish_retained([("a", b"1")], 0)
    connection.publish("a", b"1", qos=1)
    assert watched.taken_under_it
    assert watched.taken_under_it[0] is False
    outer = [one for one in watched.taken_under_it if not one]
    assert len(outer) == 3  # to publish, to discard what is not sent, and to publish
