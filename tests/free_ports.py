"""Ports for the servers of tests, which start a moment after their port was chosen, or come back to
it after they were killed."""

import fcntl
import os
import random
import tempfile
from functools import cache
from pathlib import Path

from ops import ports

LEAST, MOST = 10_000, 65_535
OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")

_claimed: set[int] = set()


def free_port() -> int:
    """A port that nothing else gets as long as this process lives: no other test of this user, and
    no outgoing connection, which would be given one that is just not listened at."""
    while True:
        port = random.randrange(LEAST, _end())
        if port not in _claimed and _claim(port) and not ports.is_taken("127.0.0.1", port):
            _claimed.add(port)
            return port


@cache
def _end() -> int:
    """Where the ports of outgoing connections begin."""
    lowest = int(OUTGOING.read_text().split()[0]) if OUTGOING.exists() else MOST
    return lowest if lowest > LEAST else MOST


@cache
def _claims() -> int:
    """A file of which a process locks one byte for each of its ports. The locks end with it."""
    path = Path(tempfile.gettempdir()) / f"cymba-test-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _claim(port: int) -> bool:
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True
