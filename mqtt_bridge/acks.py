"""The ack thread: it acknowledges each committed batch, first to the devices, then to the broker.

It is a thread of its own, so that the next batch is written while the last one is acked. Only
committed batches get here.
"""

from collections.abc import Callable, Sequence
from queue import Queue
from typing import NamedTuple

import structlog

from cymba import spans
from cymba.stimulation.ingest.decide import Duplicate, Quarantined, Refused, Stored
from mqtt_bridge import payloads, topics
from mqtt_bridge.connection import Connection
from mqtt_bridge.delivery_queue import IncomingMessage
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.supervised import SupervisedThread
from mqtt_bridge.transaction import Written

MOST_WAITING = 4  # batches; with more the writer waits (backpressure)
log = structlog.get_logger(__name__)


class _Committed(NamedTuple):
    """What the acks need of a batch. It holds no payloads: the next batch is read into their
    memory while the processor still has that in its cache."""

    first_delivery: int
    deliveries: list[tuple[int, int]]  # by connection and packet id
    written: Written
    place: object | None  # in the trace


class AckSender:
    """Sends over `connection`, and charges each device for its rejected bytes."""

    def __init__(
        self,
        connection: Connection,
        metrics: BridgeMetrics,
        charge_rejected: Callable[[str, int], None],
    ) -> None:
        self._connection = connection
        self._charge_rejected = charge_rejected
        self._metrics = metrics
        self._committed: Queue[_Committed | None] = Queue(MOST_WAITING)
        self._thread = SupervisedThread("acks", self._run)

    def start(self) -> None:
        self._thread.start()

    @property
    def working(self) -> bool:
        """Whether committed batches are not acked yet."""
        return self._committed.unfinished_tasks > 0

    def send(self, batch: Sequence[IncomingMessage], written: Written) -> None:
        """Ack the committed `batch`, and send the answers in `written`."""
        deliveries = [(one.connection, one.packet_id) for one in batch]
        self._committed.put(_Committed(batch[0].number, deliveries, written, spans.here()))

    def problem(self) -> str | None:
        """Why nothing will ever be acked again, if so."""
        return self._thread.problem()

    def finish(self, timeout_s: float) -> bool:
        """Ack what is queued. False if that took too long."""
        if self.problem() is not None:
            return False
        self._committed.put(None)
        return self._thread.join(timeout_s)

    def _run(self) -> None:
        while (committed := self._committed.get()) is not None:
            first_delivery, deliveries, written, place = committed
            for device_id, size in written.rejected_bytes.items():
                self._charge_rejected(device_id, size)
            with spans.span(
                "acks", under=place, deliveries=len(deliveries), answers=len(written.answers)
            ):
                self._connection.answer(
                    [
                        (topics.down_ack(device_id), payloads.encode(ack, encoding))
                        for device_id, ack, encoding in written.answers
                    ],
                    deliveries,
                )
            stored, duplicates = self._count(written)
            log.debug(
                "committed",
                first_delivery=first_delivery,
                deliveries=len(deliveries),
                stored=stored,
                duplicates=duplicates,
            )
            self._committed.task_done()

    def _count(self, written: Written) -> tuple[int, int]:
        """Return how many frames are stored, and how many were already."""
        metrics = self._metrics
        stored, duplicates = written.stored_fast, 0
        for outcome in written.outcomes:
            match outcome:
                case Stored():
                    stored += 1
                case Duplicate():
                    duplicates += 1
                case Quarantined():
                    metrics.quarantined.labels(outcome.code).inc()
                case Refused():
                    metrics.refused.labels(outcome.code).inc()
        metrics.stored.inc(stored)
        metrics.fast.inc(written.stored_fast)
        metrics.duplicates.inc(duplicates)
        metrics.failed.inc(len(written.failed))
        metrics.unknown_programmes.inc(written.unknown_programmes)
        for subject in written.malformed:
            metrics.malformed.labels(subject.value).inc()
        return stored, duplicates
