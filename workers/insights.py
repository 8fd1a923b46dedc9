"""The process that keeps findings current: each account in a transaction of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from cymba.database import UnitOfWork, utc_now
from cymba.insights.experiments import trials
from cymba.insights.findings import accounts_due, claim_due, refresh
from cymba.large_reads import LargeReads
from workers.asides import Asides
from workers.progress import Progress

# An account may take some tenths of a second. Rounds are short, so that an account that becomes due
# meanwhile does not wait for a hundred others.
ACCOUNTS_A_ROUND = 20


@dataclass(slots=True)
class InsightsRound:
    """What one round did. `more` says that there was more to do than a round takes."""

    refreshed: int = 0  # accounts
    announced: int = 0  # changes, to the apps
    failed: list[UUID] = field(default_factory=list)  # accounts
    more: bool = False


class InsightsWorker:
    """Any number may run, and each may be killed at any moment."""

    def __init__(
        self,
        engine: Engine,
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
        *,
        reads: LargeReads | None = None,
    ) -> None:
        self._engine = engine
        self._reads = reads or LargeReads(engine)
        self._clock = clock
        progress = progress or Progress()
        self._trials = Asides[UUID]("trial", progress, clock)
        self._accounts = Asides[UUID]("account", progress, clock)

    def run_once(self) -> InsightsRound:
        """One round.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        now, done = self._clock(), InsightsRound()
        self._trials.begin_round()
        self._accounts.begin_round()

        def advance(accounts: Sequence[UUID]) -> int:
            with UnitOfWork(self._engine) as session, session.begin():
                return sum(trials.advance(session, one, now=now) for one in accounts)

        def compute(accounts: Sequence[UUID]) -> int:
            return sum(self._refresh(one, now, done) for one in accounts)

        with UnitOfWork(self._engine) as session:
            with_trials = trials.accounts_due(
                session, now=now, limit=ACCOUNTS_A_ROUND, but=self._trials.waiting()
            )
        self._trials.each(with_trials, advance)
        with UnitOfWork(self._engine) as session:
            due = accounts_due(session, limit=ACCOUNTS_A_ROUND, but=self._accounts.waiting())
        done.refreshed = self._accounts.each(due, compute)
        done.failed = [*self._trials.failed, *self._accounts.failed]
        done.more = ACCOUNTS_A_ROUND in {len(due), len(with_trials)}
        return done

    def _refresh(self, account_id: UUID, now: datetime, done: InsightsRound) -> bool:
        """False if another worker is computing the account, or has done so."""
        with UnitOfWork(self._engine) as session, session.begin():
            if not claim_due(session, account_id):
                return False
            changes = refresh(session, account_id, now=now, reads=self._reads)
        done.announced += len(changes)
        return True
