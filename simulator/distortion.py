"""Distortions: they stand between a device and its connection, and change its messages.

They simulate firmware that writes messages wrongly, or misreads those of the server. Faults of what
a device does by its own clock and memory are its `Behaviour`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import cbor2
import msgspec

from firmware.device import DeviceConnection

Members = dict[str, Any]


class OutgoingMessage(NamedTuple):
    subject: str  # the topic after `up/`
    payload: bytes
    qos: int
    retain: bool


class Distortion:
    """Changes nothing. One instance serves one device, over all its connections."""

    def say(self, message: OutgoingMessage) -> Iterable[OutgoingMessage]:
        """The messages that are published instead."""
        return (message,)

    def hear(self, subject: str, payload: bytes) -> bytes:
        """The message on `down/{subject}` as the device reads it."""
        del subject
        return payload

    def leave(self, will: bytes) -> bytes | None:
        """The last will; None for a connection without one."""
        return will


class Distorted:
    """A connection whose messages under `root` are changed by `distortion`."""

    def __init__(self, connection: DeviceConnection, distortion: Distortion, root: str) -> None:
        self._connection, self._distortion, self._root = connection, distortion, root

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        message = OutgoingMessage(topic.removeprefix(self._root), payload, qos, retain)
        for one in self._distortion.say(message):
            topic = f"{self._root}{one.subject}"
            self._connection.publish(topic, one.payload, qos=one.qos, retain=one.retain)

    def close(self) -> None:
        self._connection.close()

    def drop(self) -> None:
        self._connection.drop()


def edit(payload: bytes, change: Callable[[Members], Members]) -> bytes:
    """The message with its members changed, in the same encoding."""
    if payload[:1] == b"{":
        return msgspec.json.encode(change(msgspec.json.decode(payload)))
    return cbor2.dumps(change(cbor2.loads(payload)))
