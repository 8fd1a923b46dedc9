"""MQTT for one device or many: their connections in one thread, over one selector.

A thread for each client does not scale far beyond two hundred. So the clients are served through
paho's hooks for an external event loop.
"""

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cymba.broker_address import BrokerAddress

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 3.0
CONNACK_TIMEOUT_S = 10.0
TENDED_EVERY_S = 1.0
GOODBYE_S = 3.0


@dataclass(frozen=True, slots=True)
class BrokerLogin:
    """Credentials, subscription and last will. Both are QoS 1, and the will is retained."""

    client_id: str
    secret: str | None
    subscription: str
    will_topic: str
    will: bytes | None

    @classmethod
    def of_device(cls, device_id: str, secret: str | None, will: bytes | None) -> "BrokerLogin":
        """As the protocol asks: it hears what is for it, and its will is a presence."""
        root = f"cymba/v1/{device_id}"
        return cls(
            client_id=device_id,
            secret=secret,
            subscription=f"{root}/down/#",
            will_topic=f"{root}/up/presence",
            will=will,
        )


@dataclass(frozen=True, slots=True)
class Hooks:
    """Called in the serving thread. `lost` is called at most once, and no hook after it."""

    connected: Callable[[], None]
    message: Callable[[str, bytes], None]
    lost: Callable[[str], None]


class BrokerLink:
    """One connection, from CONNECT to its end. A reconnect is another one.

    So neither packet ids nor paho's own retransmissions carry over into a later connection. The
    device alone decides what it sends again.
    """

    def __init__(
        self,
        reactor: "Reactor",
        broker: BrokerAddress,
        login: BrokerLogin,
        hooks: Hooks,
        now_s: float,
    ) -> None:
        self._reactor, self._broker, self._login, self._hooks = reactor, broker, login, hooks
        self._opened_s, self._connected, self._over = now_s, False, False
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=login.client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if login.secret is not None:
            client.username_pw_set(login.client_id, login.secret)
        context = reactor.tls_context(broker)
        if context is not None:
            client.tls_set_context(context)
        if login.will is not None:
            client.will_set(login.will_topic, login.will, qos=1, retain=True)
        client.max_inflight_messages_set(0)  # the flash store limits the window, not paho
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_wants_write
        client.on_socket_unregister_write = self._on_wants_no_write
        self.client = client

    def open(self) -> bool:
        """Send CONNECT. False if the broker did not accept the socket."""
        try:
            self.client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except (OSError, ValueError):
            self._over = True
            return False
        return True

    def publish(self, topic: str, payload: bytes, *, qos: int, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=qos, retain=retain)

    def close(self) -> None:
        """Send DISCONNECT once everything published has left."""
        self._over = True
        self.client.disconnect()

    def drop(self) -> None:
        """Close without a DISCONNECT, so that the broker sends the will."""
        self._over = True
        sock = self.client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # it may be gone already
                sock.shutdown(socket.SHUT_RDWR)
            self.client.loop_read()

    def serve(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self.client.loop_write()
        if events & selectors.EVENT_READ:
            self._read()

    def tend(self, now_s: float) -> None:
        """Send keep-alives, and give up on a broker that does not answer."""
        if not self._connected and now_s - self._opened_s > CONNACK_TIMEOUT_S:
            self.drop()
            self._end("no answer to CONNECT", even_if_over=True)
        else:
            self.client.loop_misc()

    def _read(self) -> None:
        self.client.loop_read()
        sock = self.client.socket()
        # Bytes that TLS has already decrypted do not make the socket readable.
        while isinstance(sock, ssl.SSLSocket) and sock.pending():
            if self.client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return
            sock = self.client.socket()

    def _end(self, reason: str, *, even_if_over: bool = False) -> None:
        if not self._over or even_if_over:
            self._over = True
            self._hooks.lost(reason)

    def _on_connect(
        self, client: Client, _: Any, _flags: ConnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        if code.is_failure:
            self._end(str(code))
            return
        self._connected = True
        client.subscribe(self._login.subscription, qos=1)
        if not self._over:
            self._hooks.connected()

    def _on_disconnect(
        self, _c: Client, _: Any, _f: DisconnectFlags, code: ReasonCode, _p: Properties | None
    ) -> None:
        self._end(str(code))

    def _on_message(self, _c: Client, _: Any, message: MQTTMessage) -> None:
        if not self._over:
            self._hooks.message(message.topic, bytes(message.payload))

    def _on_socket_open(self, _c: Client, _: Any, sock: Any) -> None:
        self._reactor.watch(self, sock)

    def _on_socket_close(self, _c: Client, _: Any, sock: Any) -> None:
        self._reactor.unwatch(self, sock)

    def _on_wants_write(self, _c: Client, _: Any, sock: Any) -> None:
        self._reactor.watch_writes(self, sock, wanted=True)

    def _on_wants_no_write(self, _c: Client, _: Any, sock: Any) -> None:
        self._reactor.watch_writes(self, sock, wanted=False)


class Reactor:
    """The selector over all connections; belongs to one thread."""

    def __init__(self) -> None:
        self._tls: dict[BrokerAddress, ssl.SSLContext | None] = {}
        self._selector = selectors.DefaultSelector()
        self._connections: set[BrokerLink] = set()
        self._tended_s = 0.0

    def open(
        self, broker: BrokerAddress, login: BrokerLogin, hooks: Hooks, now_s: float
    ) -> BrokerLink | None:
        connection = BrokerLink(self, broker, login, hooks, now_s)
        return connection if connection.open() else None

    def tls_context(self, broker: BrokerAddress) -> ssl.SSLContext | None:
        """One for all connections to it."""
        if broker not in self._tls:
            self._tls[broker] = broker.tls_context()
        return self._tls[broker]

    def serve(self, timeout_s: float, now_s: float) -> None:
        """Wait for the network, at most `timeout_s`, and handle its events."""
        for key, events in self._selector.select(timeout_s):
            key.data.serve(events)
        if now_s - self._tended_s >= TENDED_EVERY_S:
            self._tended_s = now_s
            for connection in tuple(self._connections):
                connection.tend(now_s)

    def wait_closed(self) -> None:
        """After the goodbyes: let them leave, for a moment at most."""
        until_s = time.monotonic() + GOODBYE_S
        while self._connections and time.monotonic() < until_s:
            self.serve(0.05, time.monotonic())

    def shut(self) -> None:
        for connection in tuple(self._connections):
            connection.drop()
        self._selector.close()

    def watch(self, connection: BrokerLink, sock: socket.socket) -> None:
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def unwatch(self, connection: BrokerLink, sock: socket.socket) -> None:
        self._connections.discard(connection)
        self._selector.unregister(sock)

    def watch_writes(self, connection: BrokerLink, sock: socket.socket, *, wanted: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        self._selector.modify(sock, events, connection)
