"""What happens in the network thread: a message is queued, or answered at once, never stored."""

import itertools
import time
from datetime import UTC, datetime

import structlog

from cymba.devices import exchange
from cymba.stimulation.wire.messages import TimeReply, TimeRequest
from mqtt_bridge import payloads, topics
from mqtt_bridge.connection import Connection, Message
from mqtt_bridge.delivery_queue import DeliveryQueue, IncomingMessage
from mqtt_bridge.loopback_probe import LoopbackProbe
from mqtt_bridge.metrics import Metrics
from mqtt_bridge.rate_limits import IncomingRateLimits
from mqtt_bridge.topics import Subject, Up

# Each holds a place of the broker's window, of 20 with some. Were all taken, nothing would come any
# more: no frame, and not the echo by which they are let on.
MOST_WAITING = 8
log = structlog.get_logger(__name__)


class Intake:
    """The receiver of a `Connection`: fills the writer's inbox."""

    def __init__(
        self,
        inbox: DeliveryQueue,
        echo: LoopbackProbe,
        pacing: IncomingRateLimits,
        metrics: Metrics,
    ) -> None:
        self._inbox = inbox
        self._pacing = pacing
        self._echo = echo
        self._metrics = metrics
        self._numbers = itertools.count(1)
        # The last presence and state of devices that send too many. Not acked before its turn, so
        # the broker keeps it through a crash.
        self._waiting: dict[Up, IncomingMessage] = {}

    def connected(self, number: int) -> None:
        self._echo.connected()
        self._metrics.connected(number)

    def received(self, connection: Connection, message: Message) -> None:
        # The clock first: everything after it would count as the way here.
        arrived_ns = time.time_ns()
        self._echo.heard = True
        if message.redelivered:
            self._metrics.resent.inc()
        up = topics.parse_up(message.topic)
        if up is None:
            self._returned(connection, message)
            return
        pace = None
        if up.subject is Subject.FRAME:
            admitted, pace = self._pacing.admit(up.device_id, len(message.payload))
            if not admitted:
                self._hold_off(connection, up.device_id, message, pace)
                return
        else:
            admitted = self._pacing.admit_message(up.device_id)
            if self._is_done_with(connection, up, message, arrived_ns, admitted=admitted):
                return
        delivery = IncomingMessage(
            up.device_id,
            message.payload,
            datetime.fromtimestamp(arrived_ns / 1e9, UTC),
            self._echo.settled and not message.retained and not message.redelivered,
            number=next(self._numbers),
            connection=message.connection,
            packet_id=message.packet_id,
            subject=up.subject,
            retained=message.retained,
            max_frames_per_s=pace,
        )
        if self._waiting:
            self._outdo(connection, up)
        if admitted:
            self._put(delivery)
        else:
            self._wait(up, delivery)

    def _is_done_with(
        self, connection: Connection, up: Up, message: Message, arrived_ns: int, *, admitted: bool
    ) -> bool:
        """Whether this message, which is no frame, is neither for the database nor to wait."""
        is_request = up.subject is Subject.TIME
        # Presence that is taken off the broker (`withdrawal`): we hear our own word.
        is_withdrawal = up.subject is Subject.PRESENCE and not message.payload
        if not (is_request or is_withdrawal):
            return False
        if not admitted:
            self._drop(connection, up, message.connection, message.packet_id)
            return True
        if is_withdrawal:
            connection.ack([(message.connection, message.packet_id)])
            return True
        return self._answered(connection, up.device_id, message.payload, arrived_ns)

    def _returned(self, connection: Connection, message: Message) -> None:
        if message.topic == topics.echo(connection.client_id):
            self._echo.returned(message.payload)
            self._release()
        else:
            log.warning("a message on a topic that is none of the protocol's")
        connection.ack([(message.connection, message.packet_id)])

    def _outdo(self, connection: Connection, up: Up) -> None:
        outdone = self._waiting.pop(up, None)
        if outdone is not None:
            self._drop(connection, up, outdone.connection, outdone.packet_id)

    def _put(self, delivery: IncomingMessage) -> None:
        if not self._inbox.put(delivery):
            self._metrics.left.inc()

    def _wait(self, up: Up, delivery: IncomingMessage) -> None:
        self._waiting[up] = delivery
        if len(self._waiting) > MOST_WAITING:
            first = next(iter(self._waiting))
            self._pacing.count_held_off(first.device_id)
            self._put(self._waiting.pop(first))

    def _release(self) -> None:
        """Let on what waits and may go on by now; the echo comes by every few seconds."""
        for up in list(self._waiting):
            if self._pacing.admit_message(up.device_id):
                self._put(self._waiting.pop(up))

    def _drop(self, connection: Connection, up: Up, number: int, packet_id: int) -> None:
        """A newer message says it better, or the device asks again: nobody misses it."""
        self._metrics.messages_held_off.labels(up.subject.value).inc()
        self._pacing.count_held_off(up.device_id)
        connection.ack([(number, packet_id)])

    def _hold_off(
        self, connection: Connection, device_id: str, message: Message, pace: float | None
    ) -> None:
        """Done with as far as the broker goes: the device keeps the frame, and sends it again."""
        self._metrics.held_off.inc()
        self._pacing.count_held_off(device_id)
        connection.ack([(message.connection, message.packet_id)])
        ack = self._pacing.refusal(device_id, message.payload, pace)
        if ack is not None:
            form = payloads.form_of(message.payload)
            connection.publish(topics.down_ack(device_id), payloads.encode(ack, form))

    def _answered(
        self, connection: Connection, device_id: str, payload: bytes, arrived_ns: int
    ) -> bool:
        """Answer a clock request here, since every moment it waits is error in its answer.

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
            topics.down_time(device_id), payloads.encode(reply, payloads.form_of(payload))
        )
        return True
