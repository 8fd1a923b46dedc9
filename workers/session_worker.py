"""The session worker: it aggregates frames into sessions, closes silent ones and compacts them.

It works in small transactions and gives every account and device a turn in each round, however much
others have waiting. Any number of workers may run, and each may be killed at any moment. A session
that fails is set aside and retried with backoff, so that no other waits for it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork, utc_now
from cymba.settings import Settings
from cymba.stimulation.archive.by_device import SESSIONS_OF_A_DEVICE, WaitingSessions
from cymba.stimulation.archive.compaction import compact_session, sessions_to_compact
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.session.retiming import DEVICES_AT_ONCE, devices_due, mark_retimed
from cymba.stimulation.session.summarising import summarise_sessions
from cymba.stimulation.session.waiting import close_silent, dirty_sessions
from workers.asides import Asides
from workers.progress import Progress
from workers.turns import take_turns

SESSIONS_A_TRANSACTION = 100
SESSIONS_A_ROUND = 500
# After so long in one step of a round (the summaries, the compaction), no party's second session
# begins, so that new arrivals get their turn soon.
STEP_S = 0.15
FURTHER_SESSIONS_AT_ONCE = 2  # in a transaction, once each party has had its first
FRAMES_OF_A_PARTY = 5_000  # in a round, from its second session on; some hours of frames


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
        self._retiming = Asides[str]("retiming", progress, clock)
        # The device at which each step of the last round ended.
        self._closed_to = self._summarised_to = self._compacted_to = ""

    def run_once(self) -> SessionRound:
        """One round.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        now, silent_after = self._clock(), self._silent_after
        for asides in (self._asides, self._closing, self._retiming):
            asides.begin_round()

        def retime(devices: Sequence[str]) -> int:
            with self._transaction() as session:
                return sum(mark_retimed(session, one, now) for one in devices)

        def close(_what: Sequence[str]) -> int:
            with self._transaction() as session:
                closed = close_silent(session, now, silent_after, after=self._closed_to)
            self._closed_to = closed.after
            return closed.extents

        def summarise(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return summarise_sessions(session, keys, now=now, silent_after=silent_after)

        def compact(keys: Sequence[SessionKey]) -> int:
            with self._transaction() as session:
                return sum(compact_session(session, key) for key in keys)

        done = SessionRound()
        with self._transaction() as session:
            moved = devices_due(session, now, but=self._retiming.waiting())
        self._retiming.each(moved, retime)
        done.closed = self._closing.each(["silent sessions"], close)
        aside = self._asides.waiting()
        with self._transaction() as session:
            dirty = dirty_sessions(session, now, after=self._summarised_to, but=aside)
        self._summarised_to = dirty.after
        done.summarised, rest = self._each(dirty, summarise, at_once=SESSIONS_A_TRANSACTION)
        aside = self._asides.waiting()
        with self._transaction() as session:
            finished = sessions_to_compact(
                session, now, silent_after, after=self._compacted_to, but=aside
            )
        self._compacted_to = finished.after
        # One a transaction: each locks its stores' ledgers, for which the bridge waits.
        done.compacted, left = self._each(finished, compact)
        done.failed = self._asides.failed
        done.more = len(moved) == DEVICES_AT_ONCE or any(
            (rest, left, self._closed_to, dirty.after, finished.after)
        )
        return done

    def _each(
        self,
        waiting: WaitingSessions,
        work: Callable[[Sequence[SessionKey]], int],
        *,
        at_once: int = 1,
    ) -> tuple[int, bool]:
        """Work on every party's first session, then on further ones until the step's time is over.

        Returns the sum of `work`, and whether there may be more to do.
        """
        began_s = time.monotonic()
        taken = take_turns(
            waiting.sessions,
            lambda one: one.party,
            most=SESSIONS_A_ROUND,
            cost=lambda one: one.frames,
            share=FRAMES_OF_A_PARTY,
        )
        keys = [one.key for one in taken]
        firsts = len({one.party for one in taken})
        done = self._asides.each(keys[:firsts], work, at_once=at_once)
        at, step = firsts, min(at_once, FURTHER_SESSIONS_AT_ONCE)
        while at < len(keys) and time.monotonic() - began_s < STEP_S:
            done += self._asides.each(keys[at : at + step], work, at_once=at_once)
            at += step
        of_devices = Counter(one.key.device_id for one in waiting.sessions)
        is_full = max(of_devices.values(), default=0) >= SESSIONS_OF_A_DEVICE
        return done, is_full or min(at, len(keys)) < len(waiting.sessions)

    @contextmanager
    def _transaction(self) -> Iterator[Session]:
        with UnitOfWork(self._engine) as session, session.begin():
            yield session
