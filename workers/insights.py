"""The process that keeps findings current: each account in a transaction of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from cymba.database import UnitOfWork, utc_now
from cymba.insights.experiments import trials
from cymba.insights.findings import accounts_due, claim_due, refresh

ACCOUNTS_A_ROUND = 100
SET_ASIDE = timedelta(minutes=10)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class InsightsRound:
    """What one round did. `more` says that there was more to do than a round takes."""

    refreshed: int = 0  # accounts
    told: int = 0  # changes that the apps will hear of
    failed: list[UUID] = field(default_factory=list)
    more: bool = False


class InsightsWorker:
    """Any number may run, and each may be killed at any moment. An account that cannot be dealt
    with is told of and set aside for a while: it keeps no other waiting."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._aside: dict[UUID, datetime] = {}

    def run_once(self) -> InsightsRound:
        """One round.

        Raises:
            sqlalchemy.exc.OperationalError: the database cannot be spoken to.
        """
        now, done = self._clock(), InsightsRound()
        self._aside = {one: until for one, until in self._aside.items() if until > now}
        with UnitOfWork(self._engine) as session:
            with_trials = trials.accounts_due(session, now=now, but=self._aside)
        for account_id in with_trials:
            self._guarded(self._advance, account_id, now, done)
        with UnitOfWork(self._engine) as session:
            due = accounts_due(session, limit=ACCOUNTS_A_ROUND, but=self._aside)
        for account_id in due:
            told = self._guarded(self._refresh, account_id, now, done)
            done.refreshed += told is not None
            done.told += told or 0
        done.more = len(due) == ACCOUNTS_A_ROUND
        return done

    def _guarded(
        self,
        deal_with: Callable[[UUID, datetime], int | None],
        account_id: UUID,
        now: datetime,
        done: InsightsRound,
    ) -> int | None:
        """What `deal_with` gives; None of an account that it fails for, which is set aside."""
        try:
            return deal_with(account_id, now)
        except Exception as error:  # whatever it is, it is one account's, unless …
            if _is_the_databases(error):
                raise
            self._aside[account_id] = now + SET_ASIDE
            done.failed.append(account_id)
            log.error(  # noqa: TRY400 - without its text, which may quote what was written
                "an account's insights cannot be computed",
                account=str(account_id),
                error=type(error).__name__,
                retry_s=SET_ASIDE.total_seconds(),
            )
            return None

    def _advance(self, account_id: UUID, now: datetime) -> bool:
        """Whether a change was told."""
        with UnitOfWork(self._engine) as session, session.begin():
            return trials.advance(session, account_id, now=now)

    def _refresh(self, account_id: UUID, now: datetime) -> int | None:
        """How many changes were told; None if another worker has or had the account."""
        with UnitOfWork(self._engine) as session, session.begin():
            if not claim_due(session, account_id):
                return None
            return len(refresh(session, account_id, now=now))


def _is_the_databases(error: Exception) -> bool:
    """Whether no other account would fare better: the connection is gone, or there was none."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))
