"""The writer thread: it commits queued deliveries, and only then passes them on to be acked."""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, Engine, PoolProxiedConnection

from cymba import spans
from cymba.database import UnitOfWork
from cymba.failures import is_passing, name_of
from cymba.stimulation.ingest.halving import by_halves
from mqtt_bridge.acks import AckSender
from mqtt_bridge.contacts import Contacts
from mqtt_bridge.delivery_queue import DeliveryQueue, IncomingMessage
from mqtt_bridge.metrics import BridgeMetrics
from mqtt_bridge.supervised import SupervisedThread
from mqtt_bridge.transaction import WriterCache, Written, append, give_up, sum_of, write

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0
log = structlog.get_logger(__name__)


class Writer:
    """Writes batches from the delivery queue into the database, and passes them to the ack
    thread."""

    def __init__(
        self,
        queue: DeliveryQueue,
        engine: Engine,
        ack_sender: AckSender,
        metrics: BridgeMetrics,
        batch: int,
        *,
        contacts: Contacts,
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._ack_sender = ack_sender
        self._metrics = metrics
        self._batch = batch
        self._cache = WriterCache(contacts)
        self._connection: Connection | None = None
        self._autocommit: PoolProxiedConnection | None = None
        self._busy_since: float | None = None
        self._in_hand_since: datetime | None = None
        self.working = False  # a batch is not committed yet
        self.retrying: str | None = None  # the error of the last attempt, if that failed
        self._giving_up = threading.Event()
        self._thread = SupervisedThread("writer", self._run)

    def start(self) -> None:
        self._thread.start()

    def busy_s(self) -> float:
        """How long the present attempt has lasted; 0 between attempts."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def waiting_s(self) -> float:
        """How long the oldest delivery has waited for its commit; 0 if none waits. What is queued
        came after what the writer has in hand."""
        since = self._in_hand_since
        return 0.0 if since is None else max(0.0, (datetime.now(UTC) - since).total_seconds())

    def problem(self) -> str | None:
        """Why this writer will never write again, if so."""
        return self._thread.problem()

    def finish(self, timeout_s: float) -> bool:
        """Write what the closed queue still holds. False if that took too long: the rest is never
        acked, so the broker or the devices send it again."""
        if self._thread.join(timeout_s):
            return True
        self._giving_up.set()
        self._thread.join(1)
        return False

    def _run(self) -> None:
        while batch := self._queue.take(self._batch):
            self.working = True
            self._in_hand_since = batch[0].arrived_at
            with spans.span("batch", deliveries=len(batch)):
                taken_in = self._take_in(batch)
            if not taken_in:
                break
            self.working = False
            self._in_hand_since = None
        self._disconnect()

    def _take_in(self, batch: list[IncomingMessage]) -> bool:
        """Commit the batch, with retries. False if `finish` gave up before that."""
        arrived_at = batch[0].arrived_at
        delay_s = FIRST_RETRY_S
        while True:
            try:
                batch = self._append(batch)
                if batch:
                    parts = by_halves(batch, self._commit, give_up, lambda e: not is_passing(e))
                    self._ack_sender.send(batch, sum_of(parts))
                self.retrying = None
                break
            except Exception as error:
                if not is_passing(error):
                    raise
                self._disconnect()
                self.retrying = name_of(error)
                self._metrics.database_failures.inc()
                log.warning(
                    "a transaction failed; it is retried",
                    first_delivery=batch[0].number,
                    deliveries=len(batch),
                    again_in_s=round(delay_s, 1),
                    error=name_of(error),
                )
            if self._giving_up.wait(delay_s * random.uniform(0.5, 1)):  # noqa: S311 - jitter
                return False
            delay_s = min(LAST_RETRY_S, delay_s * 2)
        lag_s = (datetime.now(UTC) - arrived_at).total_seconds()
        self._metrics.lag_seconds.observe(max(0.0, lag_s))
        return True

    def _append(self, batch: list[IncomingMessage]) -> list[IncomingMessage]:
        """Commit the usual frames and pass them on to be acked. Return what is left to `_commit`.

        Raises:
            Exception: a passing one. Nothing was committed, or the connection broke before the
            commit was confirmed.
        """
        try:
            with self._measured() as size:
                stored, written, left = append(self._connections()[1], batch, self._cache)
                size.append(len(stored))
        except Exception as error:
            if is_passing(error):
                raise
            log.exception("the fast path fails", error=name_of(error))
            return batch  # `_commit` finds the delivery that brings it out
        if stored:
            self._cache.remember(stored, written)
            self._ack_sender.send(stored, written)
        return left

    def _commit(self, batch: Sequence[IncomingMessage]) -> Written:
        """Write and commit by the slow path.

        Raises:
            Exception: nothing was committed, or the connection broke before the commit was
            confirmed.
        """
        with (
            self._measured() as size,
            self._cache.quota.reserve() as reservation,
            UnitOfWork(self._connections()[0]) as session,
        ):
            written = write(session, batch, self._cache, reservation)
            session.commit()
            size.append(len(batch))
        self._cache.remember(batch, written)
        return written

    @contextmanager
    def _measured(self) -> Iterator[list[int]]:
        """Around a transaction, which puts the number of its deliveries into the list."""
        self._busy_since = started = time.monotonic()
        size: list[int] = []
        try:
            with spans.span("commit"):
                yield size
        finally:
            self._busy_since = None
        if any(size):
            self._metrics.batch_size.observe(sum(size))
            self._metrics.commit_seconds.observe(time.monotonic() - started)

    def _connections(self) -> tuple[Connection, psycopg.Connection[Any]]:
        """Two permanent connections, the second the driver's own in autocommit mode: SQLAlchemy's
        checks and statements would take half of the time of a small batch. A dead one costs one
        failed attempt; the retry opens new ones."""
        if self._connection is None:
            self._connection = self._engine.connect()
        if self._autocommit is None:
            self._autocommit = self._engine.raw_connection()
        line = self._autocommit.driver_connection
        assert isinstance(line, psycopg.Connection)  # noqa: S101 - for mypy
        line.autocommit = True
        return self._connection, line

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
        if self._autocommit is not None:
            self._autocommit.invalidate()
        self._connection = self._autocommit = None
