"""The topics of protocol v1: what the bridge subscribes to, and whom a topic speaks of.

The device is named by its topic, which the broker's access list binds to the connection, and
never by the payload.
"""

import hashlib
import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

ROOT = "cymba/v1"
# The bridge's word to itself (connection.py); outside `ROOT`, so that no device id can meet it.
ECHO_ROOT = "cymba/bridge"


class Subject(Enum):
    """What a device speaks of on one of its `up` topics."""

    FRAME = "frame"
    STATE = "state"
    TIME = "time"
    PRESENCE = "presence"


# QoS of the subscription to each.
UP_QOS = {Subject.FRAME: 1, Subject.STATE: 1, Subject.TIME: 0, Subject.PRESENCE: 1}

_UP = re.compile(rf"{ROOT}/([A-Za-z0-9_-]{{8,32}})/up/(frame|state|time|presence)")


class Up(NamedTuple):
    device_id: str
    subject: Subject


@lru_cache(maxsize=100_000)
def parse_up(topic: str) -> Up | None:
    """The device and subject of an `up` topic; None for any other."""
    match = _UP.fullmatch(topic)
    return Up(match[1], Subject(match[2])) if match else None


def down_ack(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/ack"


def down_time(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/time"


def down_desired(device_id: str) -> str:
    return f"{ROOT}/{device_id}/down/desired"


def up_presence(device_id: str) -> str:
    return f"{ROOT}/{device_id}/up/presence"


def echo(client_id: str) -> str:
    return f"{ECHO_ROOT}/{client_id}/echo"


def share_group(password: str | None) -> str:
    """The name under which the slots divide the devices' messages: the same for all who enter
    with one password, and nobody else's to guess.

    Mosquitto's access file judges what a client reads, not what it subscribes to. Whoever joined
    the group would be handed a share of the messages, which the broker then does not let it read:
    they would be lost.
    """
    if password is None:
        return "bridge"
    return hashlib.blake2b(password.encode(), digest_size=16, person=b"cymba share").hexdigest()


def filters(client_id: str, *, group: str | None) -> list[tuple[str, int]]:
    """What a bridge subscribes to, each with its QoS.

    A `group` divides the devices' messages among all the bridges that are connected. The echo is
    subscribed to in the same way, so that it also proves that the broker knows shared
    subscriptions: one that does not takes `$share/…` for a name like any other.
    """
    topics = [(f"{ROOT}/+/up/{subject.value}", qos) for subject, qos in UP_QOS.items()]
    if group is None:
        return [*topics, (echo(client_id), 1)]
    return [
        *((f"$share/{group}/{topic}", qos) for topic, qos in topics),
        (f"$share/{group}-{client_id}/{echo(client_id)}", 1),
    ]
