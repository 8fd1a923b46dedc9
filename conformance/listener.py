"""MQTT for the conformance kit: it listens to a device and its server, or is the server."""

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from conformance.drill import Action, Drill, Evict
from conformance.largest import is_largest_frame, largest_frame
from conformance.trace import Ended, Entry, Evicted, FromDevice, Probed, QosRaised, ToDevice
from cymba.broker_address import BrokerAddress

ANSWER_S = 10.0
TICK_S = 0.05
EVICTING_S = 0.3
EVICTIONS = 5
PROBE_AFTER_S = 1.0  # the first presence, and before the end
KEEPALIVE_S = 30
DOWN_QOS = {"down/ack": 0, "down/time": 0}
HEARD_MOST = 2  # QoS of the subscription: messages arrive with the QoS of their publisher


class Unreachable(Exception):
    """The broker does not answer, or refuses the listener."""


class TooSmall(Unreachable):
    """The broker does not carry the largest frame that the protocol allows."""


class AnotherServer(Exception):
    """Another server answers the device, so a drill cannot."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the broker is, and the user to listen as.

    With `device_secret`, or if the broker needs none, a drill can cut the device's connection by
    taking its client id.
    """

    broker: BrokerAddress
    device_secret: str | None = None


class Listener:
    """One connection that subscribes to all of `cymba/v1/{device}/`. Used by one thread."""

    def __init__(self, entrance: Entrance, device_id: str, drill: Drill | None = None) -> None:
        self.trace: list[Entry] = []
        self._entrance, self._device_id, self._drill = entrance, device_id, drill
        self._root = f"cymba/v1/{device_id}/"
        self._sent: set[tuple[str, bytes]] = set()
        self._queue: SimpleQueue[FromDevice | ToDevice | QosRaised] = SimpleQueue()
        self._refusal: str | None = None
        self._subscribed = threading.Event()
        self._largest, self._largest_came = largest_frame(), threading.Event()
        # A broker may require that the client id is the user name.
        client_id = entrance.broker.username or f"conformance-{secrets.token_hex(4)}"
        self._client = _client(client_id, entrance.broker)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    def listen(self, seconds: float, *, stopping: Callable[[], bool] = lambda: False) -> None:
        """Listen for so long, or until a drill is over. Then ask for the retained messages.

        Raises:
            Unreachable: the broker does not answer, or refuses the listener. TooSmall: or not the
            largest frame. AnotherServer: this is a drill, and another server answers the device.
        """
        self._open()
        until_s = time.monotonic() + seconds
        probe_s: float | None = None
        was_probed = False
        try:
            while (now_s := time.monotonic()) < until_s and not stopping():
                self._step(now_s)
                if probe_s is None and self._has_met():
                    probe_s = now_s + PROBE_AFTER_S
                if probe_s is not None and now_s >= probe_s and not was_probed:
                    was_probed = True
                    self._probe()
                if self._drill is not None and self._drill.is_over(now_s):
                    break
            self._probe()
            end_s = time.monotonic() + PROBE_AFTER_S
            while time.monotonic() < end_s:
                self._step(time.monotonic())
        finally:
            hang_up(self._client)
        self.trace.append(Ended(time.monotonic()))

    def _open(self) -> None:
        broker = self._entrance.broker
        try:
            self._client.connect(broker.host, broker.port, keepalive=KEEPALIVE_S)
        except OSError as error:
            raise Unreachable(
                f"no broker answers at {broker.host}:{broker.port}: {error}"
            ) from None
        self._client.loop_start()
        if not self._subscribed.wait(ANSWER_S) or self._refusal:
            hang_up(self._client)
            raise Unreachable(self._refusal or "the broker does not answer")

    def _step(self, now_s: float) -> None:
        try:
            entry = self._queue.get(timeout=TICK_S)
        except Empty:
            entry = None
        if isinstance(entry, ToDevice):
            self._overhear(entry)
        elif entry is not None:
            self.trace.append(entry)
            if self._drill is not None and isinstance(entry, FromDevice):
                self._do(self._drill.hear(entry, entry.at_s))
        if self._drill is not None:
            self._do(self._drill.tick(now_s))

    def _overhear(self, message: ToDevice) -> None:
        """A message to the device: the drill's own, or one of another server."""
        if self._drill is None:
            self.trace.append(message)
        elif message.subject != "desired" and (message.subject, message.payload) not in self._sent:
            raise AnotherServer(
                f"another server answers on {self._root}down/{message.subject}: listen without "
                "--drill"
            )

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Evict):
                self._evict()
                continue
            subject, payload, expected = action
            self._sent.add((subject, payload))
            self.trace.append(ToDevice(time.monotonic(), subject, payload, expected))
            qos = DOWN_QOS.get(f"down/{subject}", 1)
            self._client.publish(f"{self._root}down/{subject}", payload, qos)

    def _evict(self) -> None:
        """Connect under the device's id and disconnect at once: the broker then drops the
        device.

        Meanwhile send the largest frame in its place. A broker that takes less cuts off whoever
        sends it, and says nothing: a device would begin with this frame on each connection, for
        ever. A device that is back at once cuts this line too, but seldom so soon.
        """
        was_admitted = False
        for _ in range(EVICTIONS):
            was_admitted |= self._evict_once()
            if was_admitted and self._largest_came.is_set():
                return
        if was_admitted:
            raise TooSmall(
                f"the broker does not carry a frame of {len(self._largest):,} bytes, which "
                "a device may send: raise its limit (Mosquitto: max_packet_size 20480)"
            )
        if self._drill is not None:
            self._drill.cannot_evict(time.monotonic())

    def _evict_once(self) -> bool:
        """Whether the broker lets us have the device's id."""
        began_s = time.monotonic()
        secret = self._entrance.device_secret
        user = self._device_id if secret else None
        broker = replace(self._entrance.broker, username=user, password=secret)
        client = _client(self._device_id, broker)
        admitted: list[bool] = []
        client.on_connect = lambda _c, _u, _f, code, _p: admitted.append(not code.is_failure)
        with suppress(OSError):
            client.connect(broker.host, broker.port)
            # At once, as MQTT 3.1.1 allows (3.1.4), so that it is there before the device is back.
            client.publish(f"{self._root}up/frame", self._largest, 1)
            while time.monotonic() < began_s + ANSWER_S:
                if client.loop(TICK_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
                if admitted and self._largest_came.is_set():
                    break
        if admitted != [True]:
            return False
        self._largest_came.wait(EVICTING_S)
        while time.monotonic() < began_s + EVICTING_S:
            client.loop(TICK_S)
        client.disconnect()
        client.loop(TICK_S)
        self.trace.append(Evicted(began_s))
        return True

    def _probe(self) -> None:
        """Subscribe anew: the broker then sends all retained messages, marked as such."""
        self.trace.append(Probed(time.monotonic()))
        self._client.subscribe(f"{self._root}#", HEARD_MOST)

    def _has_met(self) -> bool:
        return any(
            isinstance(entry, FromDevice) and entry.topic == "up/presence" and not entry.retained
            for entry in self.trace
        )

    # Called by the network thread.

    def _on_connect(
        self, client: Client, _userdata: object, _flags: object, code: ReasonCode, _p: object
    ) -> None:
        if code.is_failure:
            self._refusal = f"the broker refuses the connection: {code}"
            self._subscribed.set()
        else:
            client.subscribe(f"{self._root}#", HEARD_MOST)

    def _on_subscribe(
        self, _c: Client, _u: object, _mid: int, codes: list[ReasonCode], _p: object
    ) -> None:
        if any(code.is_failure for code in codes):
            self._refusal = f"the broker does not let this user subscribe to {self._root}#"
        self._subscribed.set()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        at_s, payload = time.monotonic(), bytes(message.payload)
        topic = message.topic.removeprefix(self._root)
        if is_largest_frame(payload):
            if payload == self._largest:
                self._largest_came.set()
            return
        if topic.startswith("down/"):
            if message.qos > DOWN_QOS.get(topic, message.qos):
                self._queue.put(QosRaised(at_s))
            if not message.retain:
                self._queue.put(ToDevice(at_s, topic.removeprefix("down/"), payload))
        else:
            self._queue.put(FromDevice(at_s, topic, payload, message.qos, bool(message.retain)))


def hang_up(client: Client) -> None:
    """Disconnect, and wait for the client's thread. It ends by itself then, and paho fails if that
    is between its look at the thread and its wait for it."""
    client.disconnect()
    with suppress(AttributeError):
        client.loop_stop()


def _client(client_id: str, broker: BrokerAddress) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTv311)
    if broker.username is not None:
        client.username_pw_set(broker.username, broker.password)
    context = broker.tls_context()
    if context is not None:
        client.tls_set_context(context)
    return client
