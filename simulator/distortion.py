"""What stands between a device and its connection and says something else than the device meant.

A firmware's fault in how it writes messages or reads the server's can be had in this way, whatever
the device itself believes; what it does by its own clock and memory is its `Behaviour`.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

import cbor2
import msgspec

Members = dict[str, Any]


class Said(NamedTuple):
    subject: str  # the topic after `up/`
    payload: bytes
    qos: int
    retain: bool


class Distortion:
    """Changes nothing. One instance serves one device, over all its connections."""

    def say(self, said: Said) -> Iterable[Said]:
        """What is published instead."""
        return (said,)

    def hear(self, subject: str, payload: bytes) -> bytes:
        """What the device understands of a message on `down/{subject}`."""
        del subject
        return payload

    def leave(self, will: bytes) -> bytes | None:
        """The last will; None for a connection without one."""
        return will


class Connection(Protocol):
    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None: ...
    def close(self) -> None: ...
    def drop(self) -> None: ...


class Distorted:
    """A connection that says what `distortion` makes of what it is to publish under `root`."""

    def __init__(self, connection: Connection, distortion: Distortion, root: str) -> None:
        self._connection, self._distortion, self._root = connection, distortion, root

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        said = Said(topic.removeprefix(self._root), payload, qos, retain)
        for one in self._distortion.say(said):
            topic = f"{self._root}{one.subject}"
            self._connection.publish(topic, one.payload, qos=one.qos, retain=one.retain)

    def close(self) -> None:
        self._connection.close()

    def drop(self) -> None:
        self._connection.drop()


def edit(payload: bytes, change: Callable[[Members], Members]) -> bytes:
    """The message with other members, in the form that it had."""
    if payload[:1] == b"{":
        return msgspec.json.encode(change(msgspec.json.decode(payload)))
    return cbor2.dumps(change(cbor2.loads(payload)))
