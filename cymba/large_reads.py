"""Large reads, from a replica where there is one: archives, reports, the days of findings.

A reader finds everything there that was committed before they asked, whoever wrote it. First the
primary is asked how far its log (WAL) goes. The replica is read once it has replayed as much, since
a commit is seen by nobody before it is in that log. Where the replica is behind for longer than a
moment, is away, or cancels a read, the primary is read instead.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from typing import NamedTuple, TypeVar

import psycopg
import structlog
from prometheus_client import CollectorRegistry, Counter
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from cymba.database import PING_S, BoundedConnection, UnitOfWork
from cymba.failures import is_passing, name_of

WAIT_S = 1.0  # for the replica to replay what the primary has
LOOK_S = 0.01
# After that it was of no use, the replica is left alone for so long, and then tried by one read.
REST_S = 30.0

T = TypeVar("T")

log = structlog.get_logger(__name__)


class LargeReads:
    """One for each process; threads share it."""

    def __init__(
        self,
        primary: Engine,
        replica: Engine | None = None,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary, self._replica = primary, replica
        self._clock = clock
        self._tried_again_s: float | None = None  # None: it was of use when it was last tried
        if replica is not None:
            self._reads = Counter(
                "cymba_large_reads", "Archives, reports and reads for findings, by the server.",
                ["server"], registry=registry,
            )  # fmt: skip
            self._passed_over = Counter(
                "cymba_replica_passed_over", "Of these the ones that a replica should have had.",
                ["reason"], registry=registry,
            )  # fmt: skip

    def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """What `work` gives. It only reads: where a replica fails it is called again."""
        with ExitStack() as held:
            return self._begin(work, held, is_long=False)

    def stream(self, work: Callable[[UnitOfWork], Iterator[T]]) -> Iterator[T]:
        """The pieces that `work` gives. Until the first one it may be called again; an error after
        that is the caller's."""
        with ExitStack() as held:
            yield from self._begin(lambda session: _begun(work(session)), held, is_long=True)

    def _begin(self, work: Callable[[UnitOfWork], T], held: ExitStack, *, is_long: bool) -> T:
        """What `work` gives, over a session that stays open until `held` is closed."""
        if self._replica is None:
            return work(held.enter_context(UnitOfWork(self._primary)))
        if self._is_tried():
            end_of_log = _end_of_log(self._primary)
            try:
                with ExitStack() as tried:
                    connection = tried.enter_context(self._replica.connect())
                    _catch_up(connection, end_of_log, self._clock, is_long=is_long)
                    found = work(tried.enter_context(UnitOfWork(connection)))
                    held.push(tried.pop_all())
            except _NoUseError as error:
                self._pass_over(error.reason, rests=error.rests)
            except (SQLAlchemyError, psycopg.Error) as error:
                self._pass_over("failed", error=name_of(error), rests=is_passing(error))
            else:
                self._tried_again_s = None
                self._reads.labels("replica").inc()
                return found
        self._reads.labels("primary").inc()
        return work(held.enter_context(UnitOfWork(self._primary)))

    def _is_tried(self) -> bool:
        if self._tried_again_s is None:
            return True
        if self._clock() < self._tried_again_s:
            self._passed_over.labels("rests").inc()
            return False
        self._tried_again_s = self._clock() + REST_S  # others need not wait for it too
        return True

    def _pass_over(self, reason: str, *, rests: bool, **told: str) -> None:
        if rests:
            self._tried_again_s = self._clock() + REST_S
        self._passed_over.labels(reason).inc()
        log.warning("the primary is read in place of the replica", reason=reason, **told)


class EndOfLog(NamedTuple):
    """How far a primary's log goes. On another timeline, or of another cluster, the same place
    means something else."""

    lsn: str
    timeline: int
    cluster: int


class _NoUseError(Exception):
    def __init__(self, reason: str, *, rests: bool = True) -> None:
        self.reason, self.rests = reason, rests


def _begun(pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces, the first of them made by now."""
    first = next(pieces, None)
    return pieces if first is None else chain([first], pieces)


def _end_of_log(primary: Engine) -> EndOfLog | None:
    """None where it has none of its own, being a standby."""
    with primary.connect() as connection:
        row = connection.execute(_END_OF_LOG).first()
    return None if row is None else EndOfLog._make(row)


def _catch_up(
    connection: Connection, end: EndOfLog | None, clock: Callable[[], float], *, is_long: bool
) -> None:
    """Wait until the server of `connection` shows all of the log up to `end`.

    Each look is a transaction of its own: what follows is read in a later one, which sees at least
    what had been replayed at the look.

    Raises:
        _NoUseError: it does not, or a long read would not live there.
    """
    if end is None:
        raise _NoUseError("primary-is-standby")
    give_up_at_s = clock() + WAIT_S
    driver = connection.connection.driver_connection
    assert isinstance(driver, BoundedConnection)  # noqa: S101 - for mypy
    with driver.patient(PING_S):
        while True:
            row = connection.execute(_STATE, end._asdict()).one()
            connection.rollback()
            if not row.follows:
                raise _NoUseError("another-primary")
            if is_long and not row.feedback:
                raise _NoUseError("no-feedback", rests=False)
            if row.caught_up:
                return
            if clock() >= give_up_at_s:
                raise _NoUseError("behind")
            time.sleep(LOOK_S)


# What is next written to a page begins behind the page's header, of 24 bytes, or of 40 in the first
# page of a file. No record ends there, so what a replica has replayed is counted up to the page.
_END_OF_LOG = text(
    """
    SELECT (lsn - CASE WHEN in_file = 40 THEN 40 WHEN in_page = 24 THEN 24 ELSE 0 END)::text,
           ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int AS timeline,
           (SELECT system_identifier FROM pg_control_system()) AS cluster
    FROM (SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn() END) AS w (lsn)
    CROSS JOIN LATERAL (
      SELECT (lsn - '0/0') % pg_size_bytes(current_setting('wal_segment_size')) AS in_file,
             (lsn - '0/0') % current_setting('wal_block_size')::int AS in_page) AS p
    WHERE lsn IS NOT NULL
    """
)
# After a failover the control file names the new timeline late, so the primary is read a little
# longer; never one that has left the primary's history. Without feedback the primary removes rows
# that a long read still needs, and the replica cancels it.
_STATE = text(
    """
    SELECT pg_is_in_recovery() AND s.system_identifier = :cluster AND c.timeline_id = :timeline
             AS follows,
           coalesce(pg_last_wal_replay_lsn() >= CAST(:lsn AS pg_lsn), false) AS caught_up,
           current_setting('hot_standby_feedback')::boolean AS feedback
    FROM pg_control_system() AS s, pg_control_checkpoint() AS c
    """
)
