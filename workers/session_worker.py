"""The session worker: it aggregates frames into sessions, closes silent ones and compacts them.

It works in small transactions of its own. Any number may run, and each may be killed at any moment.
A session that fails is set aside, logged, and retried with backoff, so that no other waits for it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings
from cymba.stimulation.archive.compaction import compact_session, sessions_to_compact
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.session.summarising import (
    close_silent,
    dirty_sessions,
    summarise_sessions,
)
from workers.asides import Asides
from workers.progress import Progress

SESSIONS_A_TRANSACTION = 20
SESSIONS_A_ROUND = 500


@dataclass(slots=True)
class SessionRound:
    """What one round did. `more` says that there is more to do than a round takes."""

    summarised: int = 0  # sessions that changed
    closed: int = 0  # extents of sessions that had fallen silent
    compacted: int = 0
    failed: list[SessionKey] = field(default_factory=list)
    more: bool = False


class SessionWorker:
    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._engine = engine
        self._silent_after = timedelta(hours=settings.session_silent_hours)
        self._clock = clock
        progress = progress or Progress()
        self._asides = Asides[SessionKey]("session", progress, clock)
        self._closing = Asides[str]("closing", progress, clock)

    def run_once(self) -> SessionRound:
        """One round.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        now, silent_after = self._clock(), self._silent_after
        self._asides.begin_round()
        self._closing.begin_round()

        def close(_what: Sequence[str]) -> int:
            with self._transaction() as session:
                return close_silent(session, now, silent_after)

        def summarise(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return summarise_sessions(session, keys, now=now, silent_after=silent_after)

        def compact(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return sum(compact_session(session, key) for key in keys)

        done = SessionRound(closed=self._closing.each(["silent sessions"], close))
        with self._transaction() as session:
            dirty = dirty_sessions(session, now, SESSIONS_A_ROUND)
        done.summarised = self._asides.each(dirty, summarise, at_once=SESSIONS_A_TRANSACTION)
        with self._transaction() as session:
            finished = sessions_to_compact(session, SESSIONS_A_ROUND, now, silent_after)
        # One a transaction: each locks its stores' ledgers, for which the bridge waits.
        done.compacted = self._asides.each(finished, compact)
        done.failed = self._asides.failed
        done.more = SESSIONS_A_ROUND in {len(dirty), len(finished)}
        return done

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with UnitOfWork(self._engine) as session, session.begin():
            yield session
