"""The network thread: paho's client in our own loop, by paho's interface for external loops.

paho's loop makes six system calls for each message and one for each ack. Each releases the
interpreter, which the busy writer then takes. This loop reads everything available at once, and
writes everything queued after one wake-up.
"""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from paho.mqtt.client import Client, MQTTMessage

from mqtt_bridge.supervised import SupervisedThread

READ_BYTES = 256 * 1024
PACKETS_AT_ONCE = 500  # read before what is queued is written
SELECT_S = 1.0
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 10.0


class BufferedClient(Client):
    """Reads ahead, because paho reads the head of each packet byte by byte. Passes messages
    directly to `on_message`, because paho's search for callbacks by topic leaves garbage cycles
    behind.

    Both methods override paho's. If a release of paho no longer calls them, the client is slower,
    and otherwise the same.
    """

    drained = True  # the kernel had no more data

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._ahead:
            try:
                self._ahead = memoryview(super()._sock_recv(READ_BYTES))
            except BlockingIOError:
                self.drained = True
                raise
        taken = self._ahead[:bufsize].tobytes()
        self._ahead = self._ahead[bufsize:]
        return taken

    def _handle_on_message(self, message: MQTTMessage) -> None:
        if self.on_message is not None:
            self.on_message(self, None, message)

    def forget_ahead(self) -> None:
        """Discard what was read ahead: its connection is gone."""
        self._ahead = memoryview(b"")

    _ahead = memoryview(b"")


class NetworkThread:
    """Connects, with retries, and reads and writes packets until it is stopped."""

    def __init__(self, client: BufferedClient, connect: Callable[[], object]) -> None:
        """`connect` makes `client` connect, or raises OSError."""
        self._client = client
        self._connect = connect
        self._stopping = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        # paho calls it when the first packet is queued.
        client.on_socket_register_write = lambda *_: self._wake()
        self._thread = SupervisedThread("network", self._run)

    def start(self) -> None:
        self._thread.start()

    def problem(self) -> str | None:
        return self._thread.problem()

    def stop(self, timeout_s: float) -> None:
        """Send what is queued, disconnect, and end."""
        self._stopping.set()
        self._client.disconnect()
        self._wake()
        self._thread.join(timeout_s)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then it has been woken often enough
            self._waker.send(b"\0")

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopping.is_set():
            self._client.forget_ahead()
            try:
                self._connect()
                self._move()
                wait_s = FIRST_WAIT_S
            except OSError:
                wait_s = min(LAST_WAIT_S, wait_s * 2)
            self._stopping.wait(wait_s)

    def _move(self) -> None:
        """Until the connection ends."""
        client = self._client
        more = False
        while (line := client.socket()) is not None:
            writes = [line] if client.want_write() else []
            readable, writable, _ = select.select(
                [line, self._woken], writes, [], 0 if more else SELECT_S
            )
            if self._woken in readable:
                self._woken.recv(4096)
                writable = [line]
            more = (line in readable or more) and self._read()
            if writable and client.socket() is line:
                client.loop_write()
            if client.socket() is line:
                client.loop_misc()

    def _read(self) -> bool:
        """Read packets. True if there may be more."""
        client = self._client
        client.drained = False
        for _ in range(PACKETS_AT_ONCE):
            client.loop_read()
            if client.drained or client.socket() is None:
                return False
        return True
