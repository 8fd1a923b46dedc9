"""The network thread: paho's client in a loop of ours, by paho's interface for outer loops.

paho's own loop asks the kernel six times for each message and once for each ack, and lets go of
the interpreter each time, which the busy writer then takes. This one reads what is there in one
go, and writes all that is queued after one wake-up.
"""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from paho.mqtt.client import Client, MQTTMessage

from mqtt_bridge.supervised import SupervisedThread

READ_BYTES = 256 * 1024
PACKETS_AT_ONCE = 500  # read before what is queued gets its turn to be written
SELECT_S = 1.0
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 10.0


class BufferedClient(Client):
    """Reads ahead, since paho asks for the head of each packet byte by byte; and gives a message
    straight to `on_message`, since paho's search for callbacks by topic (there are none) leaves a
    cycle of garbage behind with every message.

    Both methods are paho's own. If a release of paho no longer calls them, it is slower, and all
    else stays as it is.
    """

    drained = True  # the kernel had nothing more

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
        """What was read ahead belongs to a connection that is gone."""
        self._ahead = memoryview(b"")

    _ahead = memoryview(b"")


class NetworkThread:
    """Connects, as often as it takes, and moves what comes and goes, until it is stopped."""

    def __init__(self, client: BufferedClient, connect: Callable[[], object]) -> None:
        """`connect` makes `client` connect, or raises OSError."""
        self._client = client
        self._connect = connect
        self._stopping = threading.Event()
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        # paho calls it where something is queued while nothing was.
        client.on_socket_register_write = lambda *_: self._wake()
        self._thread = SupervisedThread("network", self._run)

    def start(self) -> None:
        self._thread.start()

    def problem(self) -> str | None:
        return self._thread.problem()

    def stop(self, timeout_s: float) -> None:
        """Send what is queued, say goodbye, and end."""
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
        """Take in packets; whether there may be more."""
        client = self._client
        client.drained = False
        for _ in range(PACKETS_AT_ONCE):
            client.loop_read()
            if client.drained or client.socket() is None:
                return False
        return True
