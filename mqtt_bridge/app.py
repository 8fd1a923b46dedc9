"""The bridge as a whole: its threads, the watch over them, and an end that loses nothing."""

import gc
import signal
import sys
import threading
import time
from types import FrameType

import structlog
from sqlalchemy import Engine

from cymba.broker_address import BrokerAddress
from cymba.settings import Settings
from mqtt_bridge import topics
from mqtt_bridge.acks import AckSender
from mqtt_bridge.chores import Chores
from mqtt_bridge.connection import Connection
from mqtt_bridge.delivery_queue import DeliveryQueue
from mqtt_bridge.flood_guard import FloodGuard
from mqtt_bridge.intake import Intake
from mqtt_bridge.loopback_probe import LoopbackProbe
from mqtt_bridge.metrics import Metrics
from mqtt_bridge.publisher import Publisher
from mqtt_bridge.rate_limits import IncomingRateLimits
from mqtt_bridge.writer import Writer

TICK_S = 0.5
# A statement is cut off by the database after 30 s, so an attempt this long hangs somewhere else:
# on a line that went dead without a word.
STUCK_S = 120.0
UNSUBSCRIBE_S = 3.0
DRAIN_S = 20.0
ANSWER_S = 5.0
# How often the interpreter lets the other thread run. The default of 5 ms is longer than a whole
# transaction: the writer would wait that long to begin and again to go on after each answer of
# the database, while the network thread is busy.
SWITCH_INTERVAL_S = 0.0005
# How many containers may be made before the search for cycles begins, and how seldom the older
# ones are searched. No frame leaves a cycle behind (`network` sees to paho's), and each search
# walks through all that waits in the queue: at Python's own thresholds that took near half of
# this process's time.
GC_THRESHOLDS = (50_000, 50, 100)
log = structlog.get_logger(__name__)


class BridgeFailed(Exception):
    """The bridge cannot go on; nothing that was acked is lost. Start it again."""


class Bridge:
    """Slot `slot` of `settings.bridge_slots`: a persistent session under the id `bridge-<slot>`.

    One slot alone subscribes plainly, so any broker will do, the embedded one too. More than one
    divide the messages by shared subscriptions, which the broker must know.
    """

    def __init__(self, settings: Settings, engine: Engine, slot: int) -> None:
        if not 0 <= slot < settings.bridge_slots:
            raise ValueError(f"slot {slot} is none of 0 … {settings.bridge_slots - 1}")
        self.client_id = f"bridge-{slot}"
        self.metrics = Metrics()
        self._shared = settings.bridge_slots > 1
        self._stopping = threading.Event()
        self._inbox = DeliveryQueue()
        self._echo = LoopbackProbe()
        holders: dict[str, str] = {}  # the writer learns them, the network thread looks them up
        pacing = IncomingRateLimits(holders)
        address = BrokerAddress.of(settings).for_slot(self.client_id)
        group = topics.share_group(address.password)
        ours, others = (
            topics.filters(self.client_id, group=group if shared else None)
            for shared in (self._shared, not self._shared)
        )
        self.connection = Connection(
            address,
            self.client_id,
            ours,
            [topic for topic, _ in others],
            Intake(self._inbox, self._echo, pacing, self.metrics),
        )
        self.chores = Chores(
            [
                Publisher(engine, self.connection, self.metrics),
                FloodGuard(engine, pacing.flooding, self.metrics),
            ]
        )
        self.answering = AckSender(self.connection, self.metrics, pacing.charge_rejected)
        self.writer = Writer(
            self._inbox,
            engine,
            self.answering,
            self.metrics,
            settings.bridge_batch,
            holders=holders,
            alone=not self._shared,
        )

    def run(self) -> None:
        """Work until `stop`; then commit and ack what was taken in, and leave.

        Raises:
            BridgeFailed: a thread has died or hangs; what it held was never acked.
        """
        self.answering.start()
        self.writer.start()
        self.connection.start()
        self.chores.start()
        log.info("the bridge runs", slot=self.client_id, shared=self._shared)
        while not self._stopping.wait(TICK_S):
            self._tick()
        self._leave()

    def stop(self) -> None:
        """Make `run` end. Safe in a signal handler and in any thread."""
        self._stopping.set()

    def problem(self) -> str | None:
        """Why this process has to be started again, if so."""
        busy_s = self.writer.busy_s()
        if busy_s > STUCK_S:
            return f"the writer has hung in one transaction for {busy_s:.0f} s"
        threads = (self.connection, self.writer, self.answering, self.chores)
        return next(filter(None, (one.problem() for one in threads)), None)

    def ill_health(self) -> str | None:
        """Why this bridge stores nothing at the moment, if so."""
        if self.connection.current is None:
            return "not connected to the broker"
        if self.writer.retrying:
            return "the database does not take what came"
        return self.problem()

    def _tick(self) -> None:
        trouble = self.problem()
        if trouble is not None:
            log.error("the bridge fails", problem=trouble)
            raise BridgeFailed(trouble)
        metrics = self.metrics
        metrics.connection.set(self.connection.current is not None)
        metrics.queue_depth.set(len(self._inbox))
        metrics.reading_held.set(self._inbox.full)
        metrics.settled.set(self._echo.settled)
        if self.connection.current is None:
            return
        busy = self.writer.working or self.answering.working or len(self._inbox) > 0
        if self._echo.lost(busy=busy):
            log.error("the broker delivers nothing on this connection: cutting it")
            metrics.echoes_lost.inc()
            self._echo.connected()
            self.connection.drop()
            return
        payload = self._echo.due()
        if payload is not None:
            self.connection.publish(topics.echo(self.client_id), payload, qos=1)

    def _leave(self) -> None:
        """Take nothing more in, write what is here, ack it, say goodbye.

        With shared subscriptions the slot leaves them first, so that the others get what comes
        from now on (Mosquitto would keep this slot's share for its return). One slot alone stays
        subscribed: the broker keeps what comes until it is back.
        """
        started = time.monotonic()
        self.chores.stop()
        if self._shared and not self.connection.unsubscribe(UNSUBSCRIBE_S):
            log.warning("the broker did not confirm the end of the subscriptions")
        self._inbox.close()
        if not self.writer.finish(DRAIN_S):
            log.warning("left without committing all; the broker and the devices still hold it")
        if not self.answering.finish(ANSWER_S):
            log.warning("left without acking all; the broker and the devices send it again")
        self.connection.stop()
        log.info("the bridge has left", seconds=round(time.monotonic() - started, 2))


def serve(bridge: Bridge) -> int:
    """Run a bridge until SIGTERM or SIGINT; the exit status: 0, or 1 if it failed."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()  # what is loaded by now stays
    gc.set_threshold(*GC_THRESHOLDS)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        bridge.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        bridge.run()
    except BridgeFailed:
        return 1
    return 0
