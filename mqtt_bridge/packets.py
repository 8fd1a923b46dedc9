"""The packets of MQTT 3.1.1 that make up the traffic: received messages, acks, sent messages.

paho reads and writes them one by one, which costs more than everything else that the bridge does
with a frame. All other packets are left to paho.
"""

import struct
from collections.abc import Iterable, Sequence

import msgspec

_PUBLISH = 0x30
_PUBACK = 0x4002  # its first two bytes
RETAINED, REDELIVERED = 0x01, 0x08
WAITED = RETAINED | REDELIVERED
"""Flags of a message that was not sent just now."""
_MOST_LENGTH_BYTES = 4


class Message(msgspec.Struct, frozen=True, gc=False):
    """A PUBLISH packet of QoS 0 or 1."""

    topic: bytes
    payload: bytes
    packet_id: int  # 0 for QoS 0, which needs no ack
    flags: int  # the packet's first byte


def take_messages(data: bytes, at: int, taken: list[Message]) -> int:
    """Take messages from `at` on, up to the first packet that is another one or is not whole.
    Return where that begins."""
    end = len(data)
    while at + 2 <= end:
        flags = data[at]
        if flags & 0xF4 != _PUBLISH:  # of another kind, or of QoS 2
            return at
        size, start = data[at + 1], at + 2
        if size >= 0x80:
            if start < end and data[start] < 0x80:  # nearly always: two bytes
                size += (data[start] << 7) - 0x80
                start += 1
            else:
                length = _length(data, at + 1)
                if length is None:
                    return at
                size, start = length
        stop = start + size
        if stop > end or size < 2:
            return at
        body = start + 2 + (data[start] << 8 | data[start + 1])
        packet_id = 0
        if flags & 0x02:
            body += 2
            if body > stop:
                return at
            packet_id = data[body - 2] << 8 | data[body - 1]
            topic = data[start + 2 : body - 2]
        else:
            topic = data[start + 2 : body]
        if body > stop:
            return at
        taken.append(Message(topic, data[body:stop], packet_id, flags))
        at = stop
    return at


def size_of_packet(data: bytes, at: int) -> int | None:
    """The size of the packet that begins at `at`; None while that is not known. Of one whose length
    is not valid, all that is there: paho refuses it."""
    length = _length(data, at + 1)
    if length is None:
        return len(data) - at if len(data) > at + 1 + _MOST_LENGTH_BYTES else None
    size, start = length
    return start + size - at


def acks(packet_ids: Sequence[int]) -> bytes:
    """A PUBACK for each."""
    numbers = [_PUBACK] * (2 * len(packet_ids))
    numbers[1::2] = packet_ids
    return struct.pack(f">{len(numbers)}H", *numbers)


def publishes(messages: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A PUBLISH of QoS 0 for each topic and payload."""
    parts: list[bytes] = []
    for topic, payload in messages:
        size = 2 + len(topic) + len(payload)
        head = _SHORT_HEADS[size] if size < 0x80 else b"0" + _written_length(size)
        parts += (head, len(topic).to_bytes(2), topic, payload)
    return b"".join(parts)


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """The length that is written at `at`, and where it ends. None if it does not end."""
    size = 0
    for place, byte in enumerate(data[at : at + _MOST_LENGTH_BYTES]):
        size |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return size, at + place + 1
    return None


def _written_length(size: int) -> bytes:
    written = bytearray()
    while size >= 0x80:
        written.append(size & 0x7F | 0x80)
        size >>= 7
    written.append(size)
    return bytes(written)


_SHORT_HEADS = [bytes((_PUBLISH, size)) for size in range(0x80)]
