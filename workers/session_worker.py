"""The keeper of sessions: a process that sums them up, closes and seals them.

It works in small transactions of its own. Any number of keepers may run, and each may be killed
at any moment. A session that cannot be dealt with is set aside, told of, and tried again later:
it keeps no other waiting.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings
from cymba.stimulation.archive.compaction import finished_sessions, seal_session
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
    """What one round did. `more` says that there was more to do than a round takes."""

    summarised: int = 0  # sessions that changed
    closed: int = 0  # extents of sessions that had fallen silent
    sealed: int = 0
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

        def sum_up(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return summarise_sessions(session, keys, now=now, silent_after=silent_after)

        def seal_up(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return sum(seal_session(session, key) for key in keys)

        kept = SessionRound(closed=self._closing.each(["silent sessions"], close))
        with self._transaction() as session:
            dirty = dirty_sessions(session, now, SESSIONS_A_ROUND)
        kept.summarised = self._asides.each(dirty, sum_up, at_once=SESSIONS_A_TRANSACTION)
        with self._transaction() as session:
            finished = finished_sessions(session, SESSIONS_A_ROUND, now, silent_after)
        # One by one, since each holds its stores' ledgers, which the bridge waits for.
        kept.sealed = self._asides.each(finished, seal_up)
        kept.failed = self._asides.failed
        kept.more = SESSIONS_A_ROUND in {len(dirty), len(finished)}
        return kept

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with UnitOfWork(self._engine) as session, session.begin():
            yield session
