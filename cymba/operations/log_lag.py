"""How far a replica, or the archive of the log, is behind the primary: in bytes of the log and in
time."""

from collections import deque
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

ENDS_KEPT = 1_000


class LogBehind(NamedTuple):
    bytes: int | None  # null: nobody has ever told how far it is
    s: float


class ReplicaBehind(NamedTuple):
    answers: bool
    behind: LogBehind


class ReplicaLag:
    def __init__(self, replica: Engine) -> None:
        self._replica = replica
        self._ends = _Ends()

    def read(self, session: Session, now: datetime) -> ReplicaBehind:
        end = int(session.scalars(_END).one())
        replayed = self._read_replayed()
        return ReplicaBehind(replayed is not None, self._ends.behind(now, end, replayed))

    def _read_replayed(self) -> int | None:
        """None: it is away, or is no replica."""
        try:
            with self._replica.connect() as connection:
                found = connection.scalar(_REPLAYED)
        except SQLAlchemyError:
            return None
        return None if found is None else int(found)


class ArchiveLag:
    """Of whole segments: the one that is written is not due yet. It grows where the command that
    archives fails, where it hangs, and where there is none."""

    def __init__(self) -> None:
        self._ends: _Ends | None = None

    def read(self, session: Session, now: datetime) -> LogBehind | None:
        """None where the log is not archived."""
        is_archived, end, archived = session.execute(_ARCHIVED).one()
        if not is_archived:
            return None
        if self._ends is None:
            # Of what ended before there was an archive, nothing is due.
            self._ends, archived = _Ends(), end if archived is None else archived
        return self._ends.behind(now, end, archived)


class _Ends:
    """When the log ended where, so that the time is told by one clock, and does not grow while
    nothing is written."""

    def __init__(self) -> None:
        self._open: deque[tuple[datetime, int]] = deque()  # that are not known to be reached
        self._reached: int | None = None

    def behind(self, now: datetime, end: int, reached: int | None) -> LogBehind:
        """`reached`: how far the follower is now; None where it does not tell."""
        if not self._open or end > self._open[-1][1]:
            self._open.append((now, end))
        if len(self._open) > ENDS_KEPT:
            self._open = deque(list(self._open)[::2])  # the oldest stays
        if reached is not None:
            self._reached = reached
        if self._reached is None:
            return LogBehind(None, (now - self._open[0][0]).total_seconds())
        while self._open and self._open[0][1] <= self._reached:
            self._open.popleft()
        since = self._open[0][0] if self._open else now
        return LogBehind(max(0, end - self._reached), (now - since).total_seconds())


_END = text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
_REPLAYED = text(
    "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() - '0/0'::pg_lsn END"
)
# A segment's name is its timeline, and its place in two numbers: as PostgreSQL 16 reads it by
# `pg_split_walfile_name`. What was archived last may be no segment (the history of a timeline, the
# label of a backup). Then it does not tell how far the archive is.
_ARCHIVED = text("""
    SELECT (SELECT setting <> 'off' FROM pg_settings WHERE name = 'archive_mode'),
           CAST(div(pg_current_wal_lsn() - '0/0'::pg_lsn, s.bytes) * s.bytes AS bigint),
           CASE WHEN a.last_archived_wal ~ '^[0-9A-F]{24}$' THEN
             CAST(('x' || substr(a.last_archived_wal, 9, 8))::bit(32) AS bigint) * 4294967296
             + (CAST(('x' || substr(a.last_archived_wal, 17, 8))::bit(32) AS bigint) + 1) * s.bytes
           END
    FROM pg_stat_archiver AS a,
         (SELECT pg_size_bytes(current_setting('wal_segment_size')) AS bytes) AS s
""")
