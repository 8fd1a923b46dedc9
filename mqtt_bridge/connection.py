"""The connection to the broker. Only this module and `network` use paho.

It guards against these traps of paho:
- An exception in a callback ends paho's thread while `is_connected()` stays true. Every callback
  is wrapped; what escapes one is kept for `problem()`, which also tells of a dead thread.
- An ack or publish made while paho reconnects can leave before CONNECT, and the broker then drops
  the connection. Nothing is sent but between `on_connect` and `on_disconnect`, under one lock.
- Packet ids are reused after a reconnect, so an ack from an earlier connection could free another
  message. Connections are counted, and acks of any but the current one are dropped.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessageInfo, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from cymba.broker_address import BrokerAddress
from mqtt_bridge import packets
from mqtt_bridge.network import Arrival, BufferedClient, NetworkThread

KEEPALIVE_S = 30
LOOK_S = 0.5  # how often whoever waits for the broker looks whether the connection is gone
STOP_S = 10.0
log = structlog.get_logger(__name__)


class Receiver(Protocol):
    """Receives messages. Called in the network thread, so it must not wait for the database."""

    def connected(self, number: int) -> None: ...

    def received(self, connection: "Connection", number: int, arrival: Arrival) -> None:
        """`number` is that of the connection, as for `connected`."""


class Connection:
    """A client of the broker with a fixed id. It reconnects by itself until stopped."""

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        filters: list[tuple[str, int]],
        stale_filters: Iterable[str],
        receiver: Receiver,
    ) -> None:
        """`stale_filters` are subscriptions that an earlier process may have left in this client
        id's session."""
        self.client_id = client_id
        self._failure: Exception | None = None
        self.fresh_sessions = 0  # how often the broker had no session of this client id
        self._address = address
        self._filters = filters
        self._stale_filters = list(stale_filters)
        self._receiver = receiver
        self._lock = threading.Lock()
        self._current: int | None = None  # the number of the open connection
        self._count = 0
        self._unsubscribed = threading.Event()
        self._client = self._make_client()
        self._network = NetworkThread(self._client, self._dial)

    # Called by other threads.

    @property
    def current(self) -> int | None:
        return self._current

    def start(self) -> None:
        """Connect in the background, with retries."""
        self._network.start()

    def problem(self) -> str | None:
        """Why this connection cannot work any more; None if it can."""
        if self._failure is not None:
            return f"a callback of the MQTT client failed: {self._failure!r}"
        return self._network.problem()

    def publish(self, topic: str, payload: bytes, *, qos: int = 0) -> bool:
        """Send if connected, else return False. Delivery is confirmed by the protocol above."""
        with self._client.publishing, self._lock:
            if self._current is None:
                return False
            return self._client.publish(topic, payload, qos).rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    def publish_retained(self, messages: Sequence[tuple[str, bytes]], timeout_s: float) -> bool:
        """Publish retained messages. True once the broker has confirmed all. If it does not, what
        was not sent by then is not sent later, nor on another connection: it might come after what
        is newer, and would pile up."""
        with self._client.publishing, self._lock:
            number = self._current
            if number is None:
                return False
            sent = [self._client.publish(topic, payload, 1, retain=True)
                    for topic, payload in messages]  # fmt: skip
        is_confirmed = self._is_confirmed(sent, number, timeout_s)
        if not is_confirmed:
            self._client.take_back(one.mid for one in sent)
        return is_confirmed

    def answer(
        self, messages: Iterable[tuple[bytes, bytes]], deliveries: Iterable[tuple[int, int]]
    ) -> int:
        """Send each message with QoS 0, by topic and payload. Then ack (connection, packet id) of
        those deliveries that belong to the current connection, and return how many."""
        with self._lock:
            current = self._current
            if current is None:
                return 0
            acked = [packet_id for number, packet_id in deliveries
                     if number == current and packet_id]  # fmt: skip
            sent = packets.publishes(messages) + packets.acks(acked)
            if sent:
                self._client.send(sent)
        return len(acked)

    def ack(self, deliveries: Iterable[tuple[int, int]]) -> int:
        return self.answer([], deliveries)

    def unsubscribe(self, timeout_s: float) -> bool:
        """Unsubscribe from everything, so that other slots get new messages. False if not
        confirmed."""
        with self._lock:
            if self._current is None:
                return False
            self._unsubscribed.clear()
            self._client.unsubscribe([topic for topic, _ in self._filters])
        return self._unsubscribed.wait(timeout_s)

    def drop(self) -> None:
        """Cut the connection. The client reconnects, and the broker resends what was not acked."""
        line = self._client.socket()
        if isinstance(line, socket.socket):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError as error:  # it was down already
                log.debug("line already down", error=str(error))

    def stop(self) -> None:
        """Send what is queued, disconnect and end the network thread."""
        self._network.stop(STOP_S)

    def _is_confirmed(self, sent: Sequence[MQTTMessageInfo], number: int, timeout_s: float) -> bool:
        """Wait until the broker has confirmed what was sent on this connection."""
        end_s = time.monotonic() + timeout_s
        for one in sent:
            if one.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                return False
            while not one.is_published():
                left_s = end_s - time.monotonic()
                if left_s <= 0 or self._current != number:
                    return False
                one.wait_for_publish(min(left_s, LOOK_S))
        return True

    # Called by the network thread.

    def _dial(self) -> None:
        host, port = self._address.host, self._address.port
        try:
            self._client.connect(host, port, keepalive=KEEPALIVE_S)
        except OSError as error:
            log.warning("no connection to the broker", host=host, port=port, error=str(error))
            raise

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            log.error("the broker refuses the connection", reason=str(reason))
            return
        with self._lock:
            self._count += 1
            self._current = self._count
            self.fresh_sessions += not flags.session_present
        if flags.session_present and self._stale_filters:
            client.unsubscribe(self._stale_filters)
        client.subscribe(self._filters)
        log.info("connected", connection=self._count, session_present=flags.session_present)
        self._receiver.connected(self._count)

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        with self._lock:
            was = self._current
            self._current = None
        if was is not None:
            log.info("disconnected", connection=was, reason=str(reason))

    def _on_subscribe(
        self,
        _client: Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for (topic, _), reason in zip(self._filters, reasons, strict=False):
            if reason.is_failure:
                log.error("the broker refuses a subscription", topic=topic, reason=str(reason))

    def _on_unsubscribe(self, *_: object) -> None:
        self._unsubscribed.set()

    def _on_arrival(self, arrival: Arrival) -> None:
        self._receiver.received(self, self._count, arrival)

    def _make_client(self) -> BufferedClient:
        client = BufferedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            clean_session=False,
            protocol=MQTTv311,
            manual_ack=True,
        )
        if self._address.username is not None:
            client.username_pw_set(self._address.username, self._address.password)
        context = self._address.tls_context()
        if context is not None:
            client.tls_set_context(context)
        for name in ("connect", "disconnect", "subscribe", "unsubscribe", "arrival"):
            setattr(client, f"on_{name}", self._guarded(getattr(self, f"_on_{name}")))
        return client

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self._failure = error
                log.exception("a callback failed", callback=callback.__name__)

        return call
