"""The end of a port, at which no request is lost.

The kernel takes connections for as long as a socket listens, and resets those that wait when it is
closed. The server closes at once, too, what has sent nothing yet. A proxy on such a connection has
sent its request, or is about to, and may not send a POST a second time. So before the server is
told to stop, the port takes no new connection, and all that it has taken are read.
"""

import ctypes
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

LIMIT_S = 3.0  # a connection that says nothing for so long is no proxy's
PAUSE_S = 0.1  # between two looks, and for a connection that is just being made

OWN_FILES = Path("/proc/self/fd")
# What comes from Linux's headers, and is not in Python.
SO_ATTACH_FILTER = 26
RECEIVED = struct.Struct("=128xQ")  # tcpi_bytes_received of struct tcp_info
# Of each packet to a listening socket: drop it if its TCP header says SYN, else let it in. Who is
# dropped asks again after a second. The port is closed by then, and he goes to another at once.
NO_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the byte with the flags
        (0x45, 0, 1, 0x02),  # SYN? else skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # let in
    )
)


def drain(port: int) -> None:
    """Take no new connection at `port`, and wait until this process's server has read from each
    that it has. Elsewhere than on Linux nothing is done."""
    if sys.platform != "linux":
        return
    until_s = time.monotonic() + LIMIT_S
    with ExitStack() as held:
        listening = [held.enter_context(one.dup()) for one in _own(port) if _listens(one)]
        for one in listening:
            _drop_new(one)
        while time.monotonic() < until_s:
            time.sleep(PAUSE_S)
            # In this order: what is accepted meanwhile is among the connections.
            if not any(map(_is_readable, listening)) and not any(map(_is_unread, _own(port))):
                return


def _own(port: int) -> Iterator[socket.socket]:
    """This process's TCP sockets at that port, each a copy that is held for a moment: it listens,
    or it is a connection."""
    for file in OWN_FILES.iterdir():
        with suppress(OSError):  # closed meanwhile
            if str(file.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(file.name))) as one:
                    is_ip = one.family in (socket.AF_INET, socket.AF_INET6)
                    if is_ip and one.getsockname()[1] == port:
                        yield one


def _listens(one: socket.socket) -> bool:
    return one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


def _drop_new(listening: socket.socket) -> None:
    steps = ctypes.create_string_buffer(NO_SYN, len(NO_SYN))
    program = struct.pack("HP", len(NO_SYN) // 8, ctypes.addressof(steps))
    listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _is_readable(one: socket.socket) -> bool:
    """Of a socket that listens: a connection waits to be accepted."""
    poll = select.poll()
    poll.register(one, select.POLLIN)
    return bool(poll.poll(0))


def _is_unread(one: socket.socket) -> bool:
    """Whether this connection has sent something that was not read, or nothing at all yet."""
    if _listens(one):
        return False
    told = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED.size)
    return _is_readable(one) or RECEIVED.unpack(told) == (0,)
