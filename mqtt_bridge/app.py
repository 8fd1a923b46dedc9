"""The bridge: it starts its threads, watches them, and stops without losing a frame."""

import gc
import sys
import threading
import time

import structlog
from sqlalchemy import Engine

from cymba.broker_address import BrokerAddress
from cymba.heartbeat import Heartbeat, Watchdog
from cymba.settings import Settings
from cymba.stop_signals import when_asked_to_stop
from mqtt_bridge import topics
from mqtt_bridge.acks import AckSender
from mqtt_bridge.chores import Chores
from mqtt_bridge.connection import Connection
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.delivery_queue import DeliveryQueue
from mqtt_bridge.flood_guard import FloodGuard
from mqtt_bridge.intake import Intake
from mqtt_bridge.loopback_probe import LoopbackProbe
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.publisher import Publisher
from mqtt_bridge.rate_limits import IncomingRateLimits
from mqtt_bridge.reconciler import Reconciler
from mqtt_bridge.writer import Writer

TICK_S = 0.5
# A statement ends after 35 s at the latest (`cymba.database`), and an attempt has a few. One that
# lasts longer hangs elsewhere.
STUCK_S = 120.0
SLOW_S = 10.0  # then a transaction is told as an outage; most take some milliseconds
UNSUBSCRIBE_S = 3.0
DRAIN_S = 15.0
ANSWER_S = 3.0
STOP_S = 38.0  # all of them together, with the chores and the broker; compose kills after 40 s
# How often the interpreter switches threads. The default of 5 ms is longer than a transaction:
# while the network thread is busy, the writer would wait that long after each answer of the
# database.
SWITCH_INTERVAL_S = 0.0005
# Thresholds of the garbage collector. Frames leave no cycles behind (`network` avoids paho's), and
# each collection walks through the whole queue. With Python's defaults it took nearly half of the
# process's time.
GC_THRESHOLDS = (50_000, 50, 100)
log = structlog.get_logger(__name__)


class BridgeFailed(Exception):
    """The bridge cannot continue. Nothing that was acked is lost: start it again."""


class Bridge:
    """Slot `slot` of `settings.bridge_slots`, with a persistent session under the id
    `bridge-<slot>`.

    A single slot uses plain subscriptions, which every broker knows. Several slots divide the
    messages by shared subscriptions, which the broker must support.
    """

    def __init__(self, settings: Settings, engine: Engine, slot: int) -> None:
        if not 0 <= slot < settings.bridge_slots:
            raise ValueError(f"slot {slot} is none of 0 … {settings.bridge_slots - 1}")
        self.client_id = f"bridge-{slot}"
        self.metrics = BridgeMetrics()
        self.heartbeat = Heartbeat()
        self._shared = settings.bridge_slots > 1
        self._cell = settings.cell
        self._stopping = threading.Event()
        self._queue = DeliveryQueue()
        self._probe = LoopbackProbe()
        contacts = Contacts(engine, settings.cell)
        limits = IncomingRateLimits(contacts.holders)
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
            Intake(self._queue, self._probe, limits, self.metrics),
        )
        self.chores = Chores(
            [
                Publisher(engine, self.connection, self.metrics, settings.cell),
                FloodGuard(engine, limits.flooding, self.metrics),
                contacts,
                Reconciler(engine, settings.cell),
            ]
        )
        self.ack_sender = AckSender(self.connection, self.metrics, limits.charge_rejected)
        self.writer = Writer(
            self._queue,
            engine,
            self.ack_sender,
            self.metrics,
            settings.bridge_batch,
            contacts=contacts,
        )
        self._show()

    def run(self) -> None:
        """Work until `stop`, then commit and ack what was received, and disconnect.

        Raises:
            BridgeFailed: a thread has died or hangs; what it held was never acked.
        """
        self.ack_sender.start()
        self.writer.start()
        self.connection.start()
        self.chores.start()
        log.info("the bridge runs", slot=self.client_id, shared=self._shared, cell=self._cell)
        while not self._stopping.wait(TICK_S):
            self._tick()
        self._leave()

    def stop(self) -> None:
        """Make `run` end. Safe in any thread."""
        self._stopping.set()

    def problem(self) -> str | None:
        """Why this process must be restarted; None if it need not."""
        busy_s = self.writer.busy_s()
        if busy_s > STUCK_S:
            return f"the writer has hung in one transaction for {busy_s:.0f} s"
        threads = (self.connection, self.writer, self.ack_sender, self.chores)
        return next(filter(None, (one.problem() for one in threads)), None)

    def ill_health(self) -> str | None:
        """What this bridge does not do at the moment, and why; None if it does all."""
        if self.connection.current is None:
            return "not connected to the broker"
        error = self.writer.retrying
        if error is not None:
            return f"the last transaction failed ({error}) and is being retried"
        busy_s = self.writer.busy_s()
        if busy_s > SLOW_S:
            return f"the database has not answered for {busy_s:.0f} s"
        return self.problem() or self.chores.trouble() or self.heartbeat.problem()

    def _show(self) -> None:
        """What holds at the moment is asked at each scrape, so it is true also while all hangs."""
        metrics, queue = self.metrics, self._queue
        metrics.connection.set_function(lambda: self.connection.current is not None)
        metrics.queue_depth.set_function(lambda: len(queue))
        metrics.reading_held.set_function(lambda: queue.full)
        metrics.settled.set_function(lambda: self._probe.settled)
        metrics.oldest_waiting.set_function(self.writer.waiting_s)

    def _tick(self) -> None:
        trouble = self.problem()
        if trouble is not None:
            log.error("the bridge fails", problem=trouble)
            raise BridgeFailed(trouble)
        self.heartbeat.beat()
        metrics = self.metrics
        if self.connection.current is None:
            return
        busy = self.writer.working or self.ack_sender.working or len(self._queue) > 0
        if self._probe.lost(busy=busy):
            log.error("the broker delivers nothing on this connection: cutting it")
            metrics.echoes_lost.inc()
            self._probe.connected()
            self.connection.drop()
            return
        payload = self._probe.due()
        if payload is not None:
            self.connection.publish(topics.loopback(self.client_id), payload, qos=1)

    def _leave(self) -> None:
        """Stop receiving, write and ack what is here, and disconnect.

        With shared subscriptions the slot unsubscribes first, so that the other slots get new
        messages (Mosquitto would keep this slot's share until it returns). A single slot stays
        subscribed: the broker keeps new messages until it is back.
        """
        started = time.monotonic()
        self.chores.stop()
        if self._shared and not self.connection.unsubscribe(UNSUBSCRIBE_S):
            log.warning("the broker did not confirm the end of the subscriptions")
        self._queue.close()
        if not self.writer.finish(DRAIN_S):
            log.warning(
                "stopped before everything was committed; the broker and devices hold the rest"
            )
        if not self.ack_sender.finish(ANSWER_S):
            log.warning(
                "stopped before everything was acked; the broker and devices resend the rest"
            )
        self.connection.stop()
        log.info("the bridge has stopped", seconds=round(time.monotonic() - started, 2))


def serve(bridge: Bridge) -> int:
    """Run a bridge until SIGTERM or SIGINT; the exit status: 0, or 1 if it failed."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.freeze()  # loaded modules are not collected
    gc.set_threshold(*GC_THRESHOLDS)

    watchdog = Watchdog(bridge.heartbeat, stop_s=STOP_S)

    def stop() -> None:
        bridge.stop()
        watchdog.stopping()

    when_asked_to_stop(stop)
    try:
        with watchdog:
            bridge.run()
    except BridgeFailed:
        return 1
    return 0
