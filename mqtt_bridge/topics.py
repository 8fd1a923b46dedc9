"""The topics of protocol v1, and the bridge's subscriptions.

A device is identified by the topic, which the broker's access list binds to its connection, and
never by the payload.
"""

import hashlib
import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

ROOT = "cymba/v1"
# The topic of the loopback probe. It is outside `ROOT`, so it cannot collide with a device id.
LOOPBACK_ROOT = "cymba/bridge"


class Subject(Enum):
    """The last level of an `up` topic."""

    FRAME = "frame"
    STATE = "state"
    TIME = "time"
    PRESENCE = "presence"


FRAME = Subject.FRAME
"""Each message's subject is compared with it, and to find a member in its enum takes longer."""

# QoS of the subscription to each.
UP_QOS = {Subject.FRAME: 1, Subject.STATE: 1, Subject.TIME: 0, Subject.PRESENCE: 1}

_UP = re.compile(rf"{ROOT}/([A-Za-z0-9_-]{{8,32}})/up/(frame|state|time|presence)".encode())


class Up(NamedTuple):
    device_id: str
    subject: Subject


@lru_cache(maxsize=100_000)
def parse_up(topic: bytes) -> Up | None:
    """The device and subject of an `up` topic; None for any other, also for one that is no text."""
    match = _UP.fullmatch(topic)
    return Up(match[1].decode(), Subject(match[2].decode())) if match else None


def down_ack(device_id: str) -> bytes:
    return f"{ROOT}/{device_id}/down/ack".encode()


def down_time(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/time"


def down_desired(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/desired"


def down_broker(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/broker"


def up_presence(device_id: str) -> str:
    return f"{ROOT}/{device_id}/up/presence"


def loopback(client_id: str) -> str:
    return f"{LOOPBACK_ROOT}/{client_id}/echo"


def share_group(password: str | None) -> str:
    """The group of the shared subscription: the same for all slots with one password, and secret.

    Mosquitto's access file checks what a client reads, not what it subscribes to. A stranger in the
    group would be given a share of the messages, which the broker then drops because the stranger
    may not read them. They would be lost.
    """
    if password is None:
        return "bridge"
    return hashlib.blake2b(password.encode(), digest_size=16, person=b"cymba share").hexdigest()


def filters(client_id: str, *, group: str | None) -> list[tuple[str, int]]:
    """The subscriptions of a bridge, each with its QoS.

    A `group` divides the devices' messages among all connected bridges. The loopback probe is
    subscribed to in the same way, so it also proves that the broker supports shared subscriptions.
    One that does not treats `$share/…` as an ordinary topic.
    """
    topics = [(f"{ROOT}/+/up/{subject.value}", qos) for subject, qos in UP_QOS.items()]
    if group is None:
        return [*topics, (loopback(client_id), 1)]
    return [
        *((f"$share/{group}/{topic}", qos) for topic, qos in topics),
        (f"$share/{group}-{client_id}/{loopback(client_id)}", 1),
    ]
