"""The loop around paho: many packets at one read, many acks at one wake-up, in order."""

import os
import socket
import threading
from contextlib import ExitStack

import pytest
from paho.mqtt.client import MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_bridge import packets
from mqtt_bridge.network import BufferedClient, NetworkThread
from tests.end_to_end.parts import PATIENCE_S, wait_until
from tests.mqtt_bridge.test_packets import publish


@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_every_packet_comes_whole_and_in_order_however_it_was_cut(piece: int) -> None:
    count = 300 if piece < 100 else 1_501
    payloads = [b"%d " % number + b"x" * (number * 37 % 5_000) for number in range(1, count + 1)]
    got: list[bytes] = []
    client = BufferedClient(
        CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTv311, manual_ack=True
    )
    client.on_arrival = lambda arrival: got.extend(one.payload for one in arrival.messages)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = NetworkThread(
            client, lambda: client.connect("127.0.0.1", listener.getsockname()[1])
        )
        network.start()
        line, _ = listener.accept()
        with line:
            line.recv(1_000)  # CONNECT
            line.sendall(b"\x20\x02\x00\x00")
            stream = b"".join(
                publish(b"t", payload, number) for number, payload in enumerate(payloads, 1)
            )
            if piece < 100:
                stream = stream[:20_000]
                payloads = [one for one in payloads if stream.endswith(one) or one in stream]
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(stream), piece):
                line.sendall(stream[at : at + piece])
            wait_until(lambda: len(got) >= len(payloads) - 1, what="all are here")
            taken = len(got)  # the last may still be on its way
            assert got[:taken] == payloads[:taken]
            acks = packets.acks(range(1, taken + 1))
            client.send(acks[:4])
            client.send(acks[4:])
            heard = b""
            while len(heard) < len(acks):
                heard += line.recv(65_536)
            assert heard == acks
            network.stop(10)
            assert line.recv(100) == b"\xe0\x00"  # DISCONNECT
    assert network.problem() == "the network thread has ended"


def test_what_was_read_ahead_of_a_dead_connection_is_forgotten() -> None:
    got: list[bytes] = []
    client = BufferedClient(CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTv311)
    client.on_arrival = lambda arrival: got.extend(one.payload for one in arrival.messages)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        network = NetworkThread(
            client, lambda: client.connect("127.0.0.1", listener.getsockname()[1])
        )
        network.start()
        for number in (1, 2):
            line, _ = listener.accept()
            with line:
                line.recv(1_000)
                line.sendall(b"\x20\x02\x00\x00" + publish(b"t", b"%d" % number, number))
                line.sendall(publish(b"t", b"cut off", 9)[:-3])
                wait_until(lambda number=number: len(got) == number, what="here")  # type: ignore[misc]
        network.stop(10)
    assert got == [b"1", b"2"]


def test_a_process_with_many_files_open_reads_all_the_same() -> None:
    """`select.select` would take no descriptor above 1,023."""
    got: list[bytes] = []
    client = BufferedClient(CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTv311)
    client.on_arrival = lambda arrival: got.extend(one.payload for one in arrival.messages)
    with ExitStack() as opened, socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(1_024):
            opened.callback(os.close, os.dup(listener.fileno()))
        network = NetworkThread(
            client, lambda: client.connect("127.0.0.1", listener.getsockname()[1])
        )
        network.start()
        line, _ = listener.accept()
        with line:
            line.recv(1_000)
            line.sendall(b"\x20\x02\x00\x00" + publish(b"t", b"1", 1))
            wait_until(lambda: got == [b"1"] or network.problem() is not None, what="here")
            assert network.problem() is None
        network.stop(10)


def test_a_stop_does_not_wait_for_a_broker_that_is_away() -> None:
    def refuse() -> None:
        attempts.set()
        raise ConnectionRefusedError

    attempts = threading.Event()
    client = BufferedClient(CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTv311)
    network = NetworkThread(client, refuse)
    network.start()
    assert attempts.wait(PATIENCE_S)
    assert network.problem() is None
    network.stop(10)
    assert network.problem() == "the network thread has ended"
