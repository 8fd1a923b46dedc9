"""Messages are split off as paho would read them, however the stream is cut."""

import itertools
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.client import MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from mqtt_bridge import packets
from mqtt_bridge.network import BufferedClient
from mqtt_bridge.packets import Message, take_messages

PINGRESP, SUBACK = b"\xd0\x00", b"\x90\x03\x00\x07\x01"


def length(size: int) -> bytes:
    written = bytearray()
    while True:
        size, digit = divmod(size, 128)
        written.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(written)


def publish(
    topic: bytes, payload: bytes, packet_id: int = 0, *, dup: bool = False, retain: bool = False
) -> bytes:
    """With QoS 1 if it has a packet id."""
    head = 0x30 | dup << 3 | bool(packet_id) << 1 | retain
    body = struct.pack(">H", len(topic)) + topic
    body += struct.pack(">H", packet_id) if packet_id else b""
    return bytes([head]) + length(len(body) + len(payload)) + body + payload


class Reader:
    """A client over a pair of sockets, and what it was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.pings = 0
        ours, self.broker = socket.socketpair()
        ours.setblocking(False)
        self.client = BufferedClient(
            CallbackAPIVersion.VERSION2, client_id="reader", protocol=MQTTv311, manual_ack=True
        )
        self.client.on_arrival = lambda arrival: self.messages.extend(arrival.messages)
        self.client.on_socket_register_write = lambda *_: None
        self.client._sock = ours  # as after `connect`

    def read(self, *pieces: bytes) -> list[Message]:
        self.messages.clear()
        for piece in pieces:
            self.broker.sendall(piece)
            while self.client.read():
                pass
        return list(self.messages)


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.broker.close()
    made.client._sock_close()


def test_a_stream_may_be_cut_at_every_byte(reader: Reader) -> None:
    stream = b"".join(
        [
            publish(b"a/b", b"first", 1),
            PINGRESP,
            publish(b"a/b", b""),
            publish(b"c", b"x" * 200, 65_535, dup=True, retain=True),
            SUBACK,
            publish(b"a/b", b"last", 2),
        ]
    )
    expected = [
        Message(b"a/b", b"first", 1, 0x32),
        Message(b"a/b", b"", 0, 0x30),
        Message(b"c", b"x" * 200, 65_535, 0x3B),
        Message(b"a/b", b"last", 2, 0x32),
    ]
    assert reader.read(stream) == expected
    assert reader.read(*(stream[at : at + 1] for at in range(len(stream)))) == expected
    for cut in range(1, len(stream)):
        assert reader.read(stream[:cut], stream[cut:]) == expected


@pytest.mark.parametrize("size", [125, 126, 127, 128, 16_382, 16_390, 2_097_160])
def test_every_length_of_a_length(reader: Reader, size: int) -> None:
    packet = publish(b"t", b"x" * size, 9)
    some = [packet[at : at + 100_000] for at in range(0, len(packet), 100_000)]
    assert reader.read(*some) == [Message(b"t", b"x" * size, 9, 0x32)]


@pytest.mark.parametrize(
    "junk", [b"\x30\xff\xff\xff\xff\xff", b"\xf0\x00", b"\xc0\xff\xff\xff\xff\x01"]
)
def test_what_is_no_packet_ends_the_connection(reader: Reader, junk: bytes) -> None:
    assert reader.read(publish(b"t", b"1", 1), junk) == [Message(b"t", b"1", 1, 0x32)]
    assert reader.client.socket() is None


def test_the_end_of_a_connection_in_mid_packet_is_noticed_and_forgotten(reader: Reader) -> None:
    assert reader.read(publish(b"t", b"cut off", 1)[:-3]) == []
    reader.broker.close()
    assert not reader.client.read()
    assert reader.client.socket() is None
    reader.client.forget()
    ours, reader.broker = socket.socketpair()
    ours.setblocking(False)
    reader.client._sock = ours
    assert reader.read(publish(b"t", b"whole", 1)) == [Message(b"t", b"whole", 1, 0x32)]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.binary(min_size=1, max_size=9), st.binary(max_size=300), st.integers(0, 65_535),
            st.booleans(), st.booleans(),
        ),
        max_size=8,
    ),
    st.lists(st.integers(1, 400), max_size=20),
)  # fmt: skip
def test_messages_are_what_paho_reads(
    sent: list[tuple[bytes, bytes, int, bool, bool]], cuts: list[int]
) -> None:
    written = [
        publish(topic, payload, packet_id, dup=dup, retain=retain)
        for topic, payload, packet_id, dup, retain in sent
    ]
    stream = b"".join(written)
    taken: list[Message] = []
    left = b""
    for begin, end in itertools.pairwise([0, *itertools.accumulate(cuts), 10_000]):
        data = left + stream[begin:end]
        left = data[take_messages(data, 0, taken) :]
    assert left == b""
    by_paho = []
    for packet in written:
        size = 1 + next(at for at, byte in enumerate(packet[1:], 1) if byte < 0x80)
        read = decode_publish(packet[0], packet[size:], MQTTv311)
        flags = 0x30 | read.dup << 3 | read.qos << 1 | read.retain
        by_paho.append(Message(read.topic, bytes(read.payload), read.mid, flags))
    assert taken == by_paho


def test_acks_and_messages_are_written_as_they_are_read() -> None:
    assert packets.acks([1, 258, 65_535]) == b"\x40\x02\x00\x01\x40\x02\x01\x02\x40\x02\xff\xff"
    assert packets.acks([]) == b""
    sent = [(b"cymba/v1/d/down/ack", b"x" * size) for size in (0, 100, 105, 106, 20_000)]
    assert packets.publishes(sent) == b"".join(publish(*one) for one in sent)
