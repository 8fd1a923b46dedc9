"""A device that means harm, in a process of its own: it sends as fast as the broker reads.

python -m tests.end_to_end.hostile PORT DEVICE SECRET KIND VICTIM

It waits for nothing: not for the broker's PUBACK, nor for an acknowledgement. It runs until it is
ended.
"""

import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from uuid import UUID

from benchmarks.mqtt_load import connect_packet, publish_packet

log = logging.getLogger(__name__)
_SAMPLES = (
    b'{"v":1,"store":%d,"seq":%d,"boot":1,"sid":"%s","kind":"samples","up":5,"dt":1000,"n":2,'
    b'"c":{"amplitude_ua":[1500,1500]}}'
)
FOREIGN_STORE = 4_000_000_000
"""No device of the tests has it."""
_SID = str(UUID(int=1, version=4)).encode()


def _frame(store: int, seq: int, sid: bytes = _SID) -> bytes:
    return _SAMPLES % (store, seq, sid)


def _sid(number: int) -> bytes:
    return str(UUID(int=number, version=4)).encode()


# What each kind of harm sends, without end: a topic's device and a payload.
KINDS: dict[str, Callable[[str, str], Iterator[tuple[str, bytes]]]] = {
    "flood": lambda me, _: ((me, _frame(1, n)) for n in count(1)),
    "huge": lambda me, _: ((me, b"%d" % n + b"\xff" * 20_000) for n in count(1)),
    "poison": lambda me, _: ((me, b'{"v":1,"store":1,"seq":%d}' % n) for n in count(1)),
    "sessions": lambda me, _: ((me, _frame(1, n, _sid(n))) for n in count(1)),
    "stores": lambda me, _: ((me, _frame(n, 1)) for n in count(1)),
    "holes": lambda me, _: ((me, _frame(1, 2 * n)) for n in count(1)),
    "foreign": lambda _, victim: ((victim, _frame(FOREIGN_STORE, n)) for n in count(1)),
}


def attack(port: int, device_id: str, secret: str, kind: str, victim: str) -> None:
    """Send until the line breaks, then again on another."""
    made = KINDS[kind](device_id, victim)
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port)) as link:
                link.sendall(connect_packet(device_id, secret))
                threading.Thread(target=_swallow, args=(link,), daemon=True).start()
                for number, (whose, payload) in enumerate(made):
                    topic = f"cymba/v1/{whose}/up/frame".encode()
                    link.sendall(publish_packet(topic, number % 65_535 + 1, payload))
        except OSError as error:
            log.info("the line broke: %s", error)


def _swallow(link: socket.socket) -> None:
    try:
        while link.recv(65_536):
            pass
    except OSError as error:
        log.info("the line broke: %s", error)


if __name__ == "__main__":
    attack(int(sys.argv[1]), *sys.argv[2:6])
