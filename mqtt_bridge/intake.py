"""Receiving messages in the network thread: each is queued for the writer or answered at once."""

import itertools
import time
from datetime import UTC, datetime

import structlog

from cymba.devices import exchange
from cymba.stimulation.wire.messages import TimeReply, TimeRequest
from mqtt_bridge import payloads, topics
from mqtt_bridge.connection import Connection
from mqtt_bridge.delivery_queue import DeliveryQueue, IncomingMessage
from mqtt_bridge.loopback_probe import LoopbackProbe
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.network import Arrival
from mqtt_bridge.packets import REDELIVERED, RETAINED, WAITED, Message
from mqtt_bridge.rate_limits import IncomingRateLimits
from mqtt_bridge.topics import FRAME, Subject, Up

# Each waiting message holds a place in the broker's window, which may be 20. If they took all of
# it, nothing more would arrive: no frame, and not the loopback probe that releases them.
MOST_WAITING = 8
log = structlog.get_logger(__name__)


class Intake:
    """The receiver of a `Connection`. It fills the writer's queue."""

    def __init__(
        self,
        queue: DeliveryQueue,
        probe: LoopbackProbe,
        limits: IncomingRateLimits,
        metrics: BridgeMetrics,
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._probe = probe
        self._metrics = metrics
        self._numbers = itertools.count(1)
        self._run: list[IncomingMessage] = []  # of the arrival at hand, to be queued at once
        # The latest presence and state of devices over their rate limit. It is acked in its turn
        # only, so the broker keeps it through a crash.
        self._waiting: dict[Up, IncomingMessage] = {}

    def connected(self, number: int) -> None:
        self._probe.connected()
        self._metrics.connected(number)

    def received(self, connection: Connection, number: int, arrival: Arrival) -> None:
        self._probe.heard = True
        arrived_at = datetime.fromtimestamp(arrival.at_ns / 1e9, UTC)
        now_s = time.monotonic()
        resent = 0
        run = self._run
        for message in arrival.messages:
            resent += message.flags & REDELIVERED
            up = topics.parse_up(message.topic)
            if up is None:
                self._returned(connection, number, message)
                continue
            device_id, subject = up
            if subject is not FRAME:
                self._take_other(
                    connection, number, up, message, arrived_ns=arrival.at_ns, now_s=now_s
                )
                continue
            # The way of nearly all messages, which in a fleet come one by one of each device.
            admitted, rate_per_s = self._limits.admit(device_id, len(message.payload), now_s)
            if admitted:
                run.append(self._delivery(up, message, arrived_at, number, rate_per_s))
            else:
                self._reject(connection, number, device_id, message, rate_per_s)
        if resent:
            self._metrics.resent.inc(resent // REDELIVERED)
        if run:
            self._run = []
            if not self._queue.put(run):
                self._metrics.left.inc(len(run))

    def _take_other(
        self,
        connection: Connection,
        number: int,
        up: Up,
        message: Message,
        *,
        arrived_ns: int,
        now_s: float,
    ) -> None:
        admitted = self._limits.admit_message(up.device_id, now_s)
        if self._is_done_with(connection, number, up, message, arrived_ns, admitted=admitted):
            return
        arrived_at = datetime.fromtimestamp(arrived_ns / 1e9, UTC)
        delivery = self._delivery(up, message, arrived_at, number)
        self._replace_waiting(connection, up)
        if admitted:
            self._run.append(delivery)
        else:
            self._wait(up, delivery)

    def _delivery(
        self,
        up: Up,
        message: Message,
        arrived_at: datetime,
        connection: int,
        rate_per_s: float | None = None,
    ) -> IncomingMessage:
        device_id, subject = up
        flags = message.flags
        return IncomingMessage(
            device_id,
            message.payload,
            arrived_at,
            self._probe.settled and not flags & WAITED,
            number=next(self._numbers),
            connection=connection,
            packet_id=message.packet_id,
            subject=subject,
            retained=flags & RETAINED != 0,
            max_frames_per_s=rate_per_s,
        )

    def _is_done_with(
        self,
        connection: Connection,
        number: int,
        up: Up,
        message: Message,
        arrived_ns: int,
        *,
        admitted: bool,
    ) -> bool:
        """Whether this message, which is no frame, needs neither the database nor to wait."""
        is_request = up.subject is Subject.TIME
        # Our own empty message, which withdraws a presence (`withdrawal`).
        is_withdrawal = up.subject is Subject.PRESENCE and not message.payload
        if not (is_request or is_withdrawal):
            return False
        if not admitted:
            self._drop(connection, up, number, message.packet_id)
            return True
        if is_withdrawal:
            connection.ack([(number, message.packet_id)])
            return True
        return self._answered(connection, up.device_id, message.payload, arrived_ns)

    def _returned(self, connection: Connection, number: int, message: Message) -> None:
        if message.topic == topics.loopback(connection.client_id).encode():
            self._probe.returned(message.payload)
            self._release()
        else:
            log.warning("a message on a topic that is not in the protocol")
        connection.ack([(number, message.packet_id)])

    def _replace_waiting(self, connection: Connection, up: Up) -> None:
        outdone = self._waiting.pop(up, None)
        if outdone is not None:
            self._drop(connection, up, outdone.connection, outdone.packet_id)

    def _wait(self, up: Up, delivery: IncomingMessage) -> None:
        self._waiting[up] = delivery
        if len(self._waiting) > MOST_WAITING:
            first = next(iter(self._waiting))
            self._limits.count_held_off(first.device_id)
            self._run.append(self._waiting.pop(first))

    def _release(self) -> None:
        """Pass on waiting messages that are within the limit now; called with every probe."""
        now_s = time.monotonic()
        for up in list(self._waiting):
            if self._limits.admit_message(up.device_id, now_s):
                self._run.append(self._waiting.pop(up))

    def _drop(self, connection: Connection, up: Up, number: int, packet_id: int) -> None:
        """Drop a message that a newer one replaces, or that the device repeats."""
        self._metrics.messages_held_off.labels(up.subject.value).inc()
        self._limits.count_held_off(up.device_id)
        connection.ack([(number, packet_id)])

    def _reject(
        self,
        connection: Connection,
        number: int,
        device_id: str,
        message: Message,
        rate_per_s: float | None,
    ) -> None:
        """Ack to the broker a frame over the rate limit. The device keeps it and sends it again."""
        self._metrics.held_off.inc()
        self._limits.count_held_off(device_id)
        ack = self._limits.refusal(device_id, message.payload, rate_per_s)
        answers = []
        if ack is not None:
            encoding = payloads.encoding_of(message.payload)
            answers.append((topics.down_ack(device_id), payloads.encode(ack, encoding)))
        connection.answer(answers, [(number, message.packet_id)])

    def _answered(
        self, connection: Connection, device_id: str, payload: bytes, arrived_ns: int
    ) -> bool:
        """Answer a clock request at once, because every delay is an error in the answer.

        False if it is the exchange's third message, which is for the database.
        """
        request = payloads.decode(payload, TimeRequest)
        if isinstance(request, payloads.Malformed):
            self._metrics.malformed.labels(Subject.TIME.value).inc()
            log.warning("malformed clock request", device=device_id, detail=request.detail)
            return True
        reply = exchange.reply(request, arrived_ns // 1_000_000, time.time_ns() // 1_000_000)
        if not isinstance(reply, TimeReply):
            return False
        connection.publish(
            topics.down_time(device_id), payloads.encode(reply, payloads.encoding_of(payload))
        )
        return True
