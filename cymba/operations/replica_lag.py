"""How far a replica is behind its primary, in bytes of the log and in time."""

from collections import deque
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

ENDS_KEPT = 1_000


class Lag(NamedTuple):
    """`behind_bytes` is null where the replica has never answered."""

    answers: bool
    behind_bytes: int | None
    behind_s: float


class ReplicaLag:
    """Remembers when the primary's log ended where, so that the time is told by one clock, and does
    not grow while nothing is written."""

    def __init__(self, replica: Engine) -> None:
        self._replica = replica
        self._ends: deque[tuple[datetime, int]] = deque()  # that the replica is not known to have
        self._replayed: int | None = None

    def read(self, session: Session, now: datetime) -> Lag:
        end = int(session.scalars(_END).one())
        if not self._ends or end > self._ends[-1][1]:
            self._ends.append((now, end))
        if len(self._ends) > ENDS_KEPT:
            self._ends = deque(list(self._ends)[::2])  # the oldest stays
        replayed = self._read_replayed()
        if replayed is not None:
            self._replayed = replayed
            while self._ends and self._ends[0][1] <= replayed:
                self._ends.popleft()
        bytes_ = None if self._replayed is None else max(0, end - self._replayed)
        since = self._ends[0][0] if self._ends else now
        return Lag(replayed is not None, bytes_, (now - since).total_seconds())

    def _read_replayed(self) -> int | None:
        """None: it is away, or is no replica."""
        try:
            with self._replica.connect() as connection:
                found = connection.scalar(_REPLAYED)
        except SQLAlchemyError:
            return None
        return None if found is None else int(found)


_END = text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
_REPLAYED = text(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END"
)
