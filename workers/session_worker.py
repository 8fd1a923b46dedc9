"""The keeper of sessions: a process that sums them up, closes and seals them.

It works in small transactions of its own. Any number of keepers may run, and each may be killed
at any moment. A session that cannot be dealt with is set aside, told of, and tried again later:
it keeps no other waiting.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings
from cymba.stimulation.archive.compaction import finished_sessions, seal_finished, seal_session
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.session.summarising import (
    close_silent,
    dirty_sessions,
    summarise_dirty,
    summarise_sessions,
)

__all__ = ["SessionRound", "SessionWorker", "close_silent", "seal_finished", "summarise_dirty"]

SESSIONS_A_TRANSACTION = 20
SESSIONS_A_ROUND = 500
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class SessionRound:
    """What one round did. `more` says that there was more to do than a round takes."""

    summarised: int = 0  # sessions that changed
    closed: int = 0  # extents of sessions that had fallen silent
    sealed: int = 0
    failed: list[SessionKey] = field(default_factory=list)
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Aside:
    until: datetime
    wait: timedelta


class SessionWorker:
    """Remembers, from round to round, which sessions it could not deal with."""

    def __init__(
        self, engine: Engine, settings: Settings, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._silent_after = timedelta(hours=settings.session_silent_hours)
        self._clock = clock
        self._aside: dict[SessionKey, _Aside] = {}

    def run_once(self) -> SessionRound:
        """One round.

        Raises:
            sqlalchemy.exc.OperationalError: the database cannot be spoken to.
        """
        now, silent_after = self._clock(), self._silent_after
        kept = SessionRound()
        with self._transaction() as session:
            kept.closed = close_silent(session, now, silent_after)
            dirty = dirty_sessions(session, now, SESSIONS_A_ROUND)

        def sum_up(session: Session, keys: Sequence[SessionKey]) -> int:
            return summarise_sessions(session, keys, now=now, silent_after=silent_after)

        def seal_up(session: Session, keys: Sequence[SessionKey]) -> int:
            return sum(seal_session(session, key) for key in keys)

        kept.summarised = self._each(dirty, SESSIONS_A_TRANSACTION, sum_up, kept)
        with self._transaction() as session:
            finished = finished_sessions(session, SESSIONS_A_ROUND, now, silent_after)
        # One by one, since each holds its stores' ledgers, which the bridge waits for.
        kept.sealed = self._each(finished, 1, seal_up, kept)
        kept.more = SESSIONS_A_ROUND in {len(dirty), len(finished)}
        return kept

    def _each(
        self,
        keys: Sequence[SessionKey],
        at_once: int,
        work: Callable[[Session, Sequence[SessionKey]], int],
        kept: SessionRound,
    ) -> int:
        """Do `work` in transactions of `at_once`, and one by one where that fails."""
        now = self._clock()
        ready = [key for key in keys if key not in self._aside or self._aside[key].until <= now]
        done = 0
        for at in range(0, len(ready), at_once):
            some = ready[at : at + at_once]
            try:
                with self._transaction() as session:
                    done += work(session, some)
                for key in some:
                    self._aside.pop(key, None)
            except Exception as error:  # whatever it is, it is one session's, unless …
                if _is_the_databases(error):
                    raise
                if len(some) > 1:
                    done += self._each(some, 1, work, kept)
                else:
                    self._set_aside(some[0], error, kept)
        return done

    def _set_aside(self, key: SessionKey, error: Exception, kept: SessionRound) -> None:
        before = self._aside.get(key)
        wait = min(before.wait * 2, LONGEST_WAIT) if before else FIRST_WAIT
        self._aside[key] = _Aside(self._clock() + wait, wait)
        kept.failed.append(key)
        # Without the error's text, which may quote what the session holds.
        log.error(
            "a session is set aside",
            session=str(key.id),
            device=key.device_id,
            error=type(error).__name__,
            retry_s=wait.total_seconds(),
        )

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with UnitOfWork(self._engine) as session, session.begin():
            yield session


def _is_the_databases(error: Exception) -> bool:
    """Whether no other session would fare better."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    return getattr(error.orig, "sqlstate", None) not in _OF_ONE_STATEMENT


# A deadlock, a conflict, a lock or a statement that took too long: PostgreSQL, appendix A.
_OF_ONE_STATEMENT = frozenset({"40P01", "40001", "55P03", "57014"})
