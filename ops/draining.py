"""The end of a server's ports, at which no request is lost.

The kernel takes connections for as long as a socket listens, and resets those that wait when it is
closed. The server closes at once, too, what has sent nothing yet. A proxy on such a connection has
sent its request, or is about to, and may not send a POST a second time. So before the server is
told to stop, this process takes no new connection, and all that it has taken are read.
"""

import ctypes
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator

LIMIT_S = 3.0  # a connection that says nothing for so long is no proxy's
PAUSE_S = 0.1  # between two looks, and for a connection that is just being made
# It keeps Python's lock: where many threads are busy, it would be long until this one had it again,
# after each of many calls.
LIBC = ctypes.PyDLL(None)
FILES = range(4096)  # more than the server opens; the kernel gives the lowest number that is free

# What comes from Linux's headers, and is not in Python.
LISTEN = 10
CONNECTED = {1, 8}  # also where the other side has sent all
INFO = struct.Struct("=B23xI100xQ")  # of tcp_info: state, unacked (who waits), bytes_received
SO_ATTACH_FILTER = 26
# Of each packet to a listening socket: drop it if its TCP header says SYN, else let it in. Who is
# dropped asks again after a second. The port is closed by then, and a proxy goes to another.
NO_SYN = b"".join(
    struct.pack("HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the byte with the flags
        (0x45, 0, 1, 0x02),  # SYN? else skip one
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # let in
    )
)


def drain() -> None:
    """Take no new connection, and wait until this process's server has read from each that it has.
    Elsewhere than on Linux nothing is done."""
    if sys.platform != "linux":
        return
    until_s = time.monotonic() + LIMIT_S
    for file, state, *_ in _tcp_sockets():
        if state == LISTEN:
            _drop_new(file)
    while time.monotonic() < until_s:
        time.sleep(PAUSE_S)
        # One after the other: what was accepted since the first is seen by the second.
        if not _some_wait() and not _some_are_unread():
            return


def _tcp_sockets() -> Iterator[tuple[int, int, int, int]]:
    """This process's own, each with what the kernel knows of it."""
    told = ctypes.create_string_buffer(INFO.size)
    for file in FILES:
        size = ctypes.c_uint32(INFO.size)
        failed = LIBC.getsockopt(
            file, socket.IPPROTO_TCP, socket.TCP_INFO, told, ctypes.byref(size)
        )
        if not failed:
            yield file, *INFO.unpack(told)


def _drop_new(file: int) -> None:
    steps = ctypes.create_string_buffer(NO_SYN, len(NO_SYN))
    program = struct.pack("HP", len(NO_SYN) // 8, ctypes.addressof(steps))
    LIBC.setsockopt(file, socket.SOL_SOCKET, SO_ATTACH_FILTER, program, len(program))


def _some_wait() -> bool:
    """To be accepted."""
    return any(state == LISTEN and waiting for _, state, waiting, _ in _tcp_sockets())


def _some_are_unread() -> bool:
    """A connection has sent something that was not read, or nothing at all yet."""
    unread = ctypes.c_int()
    for file, state, _, received in _tcp_sockets():
        if state in CONNECTED:
            LIBC.ioctl(file, termios.FIONREAD, ctypes.byref(unread))
            if unread.value or not received:
                return True
    return False
