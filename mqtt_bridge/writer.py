"""The writer thread: takes what is queued, commits it, and only then has it acked."""

import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog
from sqlalchemy import Connection, Engine

from cymba.database import UnitOfWork
from cymba.failures import is_passing, name_of
from cymba.stimulation.ingest.halving import by_halves
from mqtt_bridge.acks import AckSender
from mqtt_bridge.delivery_queue import DeliveryQueue, IncomingMessage
from mqtt_bridge.metrics import Metrics
from mqtt_bridge.supervised import SupervisedThread
from mqtt_bridge.transaction import WriterCache, Written, append, give_up, sum_of, write

FIRST_RETRY_S = 0.2
LAST_RETRY_S = 5.0
log = structlog.get_logger(__name__)


class Writer:
    """Batches of the inbox into the database, and on to be answered."""

    def __init__(
        self,
        inbox: DeliveryQueue,
        engine: Engine,
        answering: AckSender,
        metrics: Metrics,
        batch: int,
        *,
        holders: dict[str, str] | None = None,
        alone: bool = True,
    ) -> None:
        """`holders` is kept up to date with the account that holds each device that sends.
        `alone`, this is the only slot."""
        self._inbox = inbox
        self._engine = engine
        self._answering = answering
        self._metrics = metrics
        self._batch = batch
        self._cache = WriterCache({} if holders is None else holders, alone=alone)
        self._connection: Connection | None = None
        self._autocommit: Connection | None = None
        self._busy_since: float | None = None
        self.working = False  # it holds deliveries that are not committed yet
        self.retrying = False  # the last attempt failed, and the next is still to come
        self._giving_up = threading.Event()
        self._thread = SupervisedThread("writer", self._run)

    def start(self) -> None:
        self._thread.start()

    def busy_s(self) -> float:
        """For how long the present attempt has lasted; 0 between attempts."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def problem(self) -> str | None:
        """Why this writer will never write again, if so."""
        return self._thread.problem()

    def finish(self, timeout_s: float) -> bool:
        """Write what the closed inbox still holds. False if that took too long: what is left is
        never acked, so the broker or the devices send it again."""
        if self._thread.join(timeout_s):
            return True
        self._giving_up.set()
        self._thread.join(1)
        return False

    def _run(self) -> None:
        while batch := self._inbox.take(self._batch):
            self.working = True
            if not self._take_in(batch):
                break
            self.working = False
        self._hang_up()

    def _take_in(self, batch: list[IncomingMessage]) -> bool:
        """Commit the batch, however often it takes. False when told to give up before that."""
        delay_s = FIRST_RETRY_S
        while True:
            try:
                parts = by_halves(batch, self._commit, give_up, lambda e: not is_passing(e))
                self.retrying = False
                break
            except Exception as error:  # noqa: BLE001 - only passing ones come here
                self._hang_up()
                self.retrying = True
                self._metrics.database_failures.inc()
                log.warning(
                    "the database does not take the batch",
                    first_delivery=batch[0].number,
                    deliveries=len(batch),
                    again_in_s=round(delay_s, 1),
                    error=name_of(error),
                )
            if self._giving_up.wait(delay_s * random.uniform(0.5, 1)):  # noqa: S311 - jitter
                return False
            delay_s = min(LAST_RETRY_S, delay_s * 2)
        lag_s = (datetime.now(UTC) - batch[0].arrived_at).total_seconds()
        self._metrics.lag_seconds.observe(max(0.0, lag_s))
        self._answering.tell(batch, sum_of(parts))
        return True

    def _commit(self, batch: Sequence[IncomingMessage]) -> Written:
        """Write and commit, by the fast path if the batch is one for it.

        Raises:
            Exception: nothing was committed, or the line broke before that was heard of.
        """
        self._busy_since = started = time.monotonic()
        try:
            written = append(self._connections()[1], batch, self._cache)
            if written is None:
                with (
                    self._cache.quota.attempt() as attempt,
                    UnitOfWork(self._connections()[0]) as session,
                ):
                    written = write(session, batch, self._cache, attempt)
                    session.commit()
            self._cache.remember(written)
        finally:
            self._busy_since = None
        self._metrics.batch_size.observe(len(batch))
        self._metrics.commit_seconds.observe(time.monotonic() - started)
        return written

    def _connections(self) -> tuple[Connection, Connection]:
        """Two connections for good, of which the second commits each statement: a pool's check at
        every batch would take a third of its time. Dead ones cost one attempt, after which the
        batch is written over new ones."""
        if self._connection is None:
            self._connection = self._engine.connect()
        if self._autocommit is None:
            line = self._engine.connect()
            self._autocommit = line.execution_options(isolation_level="AUTOCOMMIT")
        return self._connection, self._autocommit

    def _hang_up(self) -> None:
        for line in (self._connection, self._autocommit):
            if line is not None:
                line.invalidate()
                line.close()
        self._connection = self._autocommit = None
