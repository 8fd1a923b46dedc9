"""The network thread: paho's client in our own loop, by paho's interface for external loops.

paho's loop makes six system calls for each message and one for each ack. Each releases the
interpreter, which the busy writer then takes. This loop reads everything available at once and
splits messages off itself (`packets`); paho gets the other packets. It writes everything queued
after one wake-up.
"""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import MessageState, MessageType

from mqtt_bridge.packets import Message, size_of_packet, take_messages
from mqtt_bridge.supervised import SupervisedThread

READ_BYTES = 256 * 1024
POLL_MS = 1_000
READABLE = select.POLLIN | select.POLLHUP | select.POLLERR
FIRST_WAIT_S, LAST_WAIT_S = 1.0, 10.0


class Arrival(NamedTuple):
    """Messages that were read at once."""

    at_ns: int  # since 1970
    messages: list[Message]


class BufferedClient(Client):
    """Reads by itself and lets paho handle whole packets, those that are no messages. `on_arrival`
    gets the messages, all that were read at once before any other packet.

    What is overridden or used of paho's own: `_sock_recv`, `_packet_queue`, `_out_messages` with
    their mutex, and when it last heard from the broker.
    """

    on_arrival: Callable[[Arrival], None]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.forget()

    def read(self) -> bool:
        """Read what has arrived. True if there may be more."""
        line = self.socket()
        try:
            received = super()._sock_recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            received = b""
        if not received:
            self._is_cut = True
            self.loop_read()  # it finds the end of the connection
            return False
        at_ns = time.time_ns()
        # A TLS line may hold data that the kernel does not show.
        is_more = len(received) == READ_BYTES or isinstance(line, ssl.SSLSocket)
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        if not self._partial:
            self._handle(received, at_ns)
        elif len(self._partial) + len(received) >= self._wanted:
            self._handle(b"".join((self._partial, received)), at_ns)
        else:
            self._partial += received
        return is_more

    def send(self, packets: bytes) -> None:
        """Queue whole packets that need no answer, after those that are queued already."""
        self._packet_queue(MessageType.PUBACK, packets, mid=0, qos=0)

    @property
    def publishing(self) -> AbstractContextManager[object]:
        """Paho's lock. Paho holds it while it publishes, and while it calls `on_disconnect` for a
        new connection that has ended at once. Who holds a lock that a callback takes, and publishes
        under it, must take this one first."""
        return self._out_message_mutex

    def take_back(self, message_ids: Iterable[int]) -> None:
        """Discard those of these messages that are not sent yet: paho sends twenty, and keeps the
        others until the broker has confirmed some."""
        with self._out_message_mutex:
            for message_id in message_ids:
                message = self._out_messages.get(message_id)
                if message is not None and message.state is MessageState.MQTT_MS_QUEUED:
                    del self._out_messages[message_id]

    def forget(self) -> None:
        """Discard what was read of a packet, and what the broker has not confirmed: its connection
        is gone. Paho would send that again by itself, and might so put an older retained message in
        the place of a newer one."""
        self.drop_out_messages()
        self._partial = bytearray()  # the beginning of a packet that is not whole yet
        self._wanted = 0  # its size, if that is known
        self._packet = memoryview(b"")  # what paho is to handle now
        self._is_cut = False

    def _handle(self, data: bytes, at_ns: int) -> None:
        at = 0
        while True:
            messages: list[Message] = []
            at = take_messages(data, at, messages)
            if messages:
                self.on_arrival(Arrival(at_ns, messages))
            size = size_of_packet(data, at)
            if size is None or at + size > len(data):
                break
            self._packet = memoryview(data)[at : at + size]
            self.loop_read()
            if self._packet or self.socket() is None:
                break  # paho has refused the packet and ended the connection
            at += size
        self._partial, self._wanted = bytearray(data[at:]), size or 0

    def _sock_recv(self, bufsize: int) -> bytes:
        """For paho: of the one packet that it is to handle."""
        if not self._packet and not self._is_cut:
            raise BlockingIOError
        taken = self._packet[:bufsize].tobytes()
        self._packet = self._packet[bufsize:]
        return taken


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
            self._client.forget()
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
        poll = select.poll()  # `select.select` takes no descriptor above 1,023
        poll.register(self._woken, select.POLLIN)
        while (line := client.socket()) is not None:
            poll.register(line, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
            events = dict(poll.poll(0 if more else POLL_MS))
            of_line = events.get(line.fileno(), 0)
            is_woken = self._woken.fileno() in events
            if is_woken:
                self._woken.recv(4096)
            more = (bool(of_line & READABLE) or more) and client.read()
            if (is_woken or of_line & select.POLLOUT) and client.socket() is line:
                client.loop_write()
            if client.socket() is line:
                client.loop_misc()
