"""Daily removal of what is past its retention period, and the months of the log that come next."""

import time
from collections.abc import Callable, Sequence

import structlog
from sqlalchemy import Engine

from cymba.accounts import audit
from cymba.database import UnitOfWork, utc_now
from cymba.rights.retention import RULES, Rule, remove_some
from cymba.settings import Settings
from workers.asides import Asides
from workers.progress import Progress

DAY_S = 24 * 3600.0
AUDIT_MONTHS = "audit-months"

log = structlog.get_logger(__name__)


def remove_all(
    engine: Engine, settings: Settings, rule: Rule, alive: Callable[[], None] = lambda: None
) -> int:
    """Apply `rule` in small transactions, with a sign of life after each. Return how many rows, or
    whole months of them, were removed."""
    removed = 0
    while True:
        with UnitOfWork(engine) as session, session.begin():
            count = remove_some(session, rule, settings, now=utc_now())
        removed += count
        alive()
        if not count:
            return removed


def make_months(engine: Engine) -> int:
    """Make the parts of the audit log that it soon needs; how many there were not yet."""
    with UnitOfWork(engine) as session, session.begin():
        return audit.make_months(session)


class DailyRetention:
    """Applies every rule at the first round, and then once a day; makes the audit log's months.

    A rule that fails is set aside, so that the others are applied.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._rules = {rule.name: rule for rule in RULES}
        self._due_s = dict.fromkeys([*self._rules, AUDIT_MONTHS], clock())
        progress = progress or Progress()
        self._alive = progress.heartbeat.beat
        self._asides = Asides[str]("retention rule", progress)

    def run_once(self) -> list[str]:
        """Apply the rules that are due. Return the names of those that failed.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        self._asides.begin_round()
        due = [name for name, due_s in self._due_s.items() if due_s <= self._clock()]
        self._asides.each(due, self._apply)
        return self._asides.failed

    def _apply(self, names: Sequence[str]) -> int:
        done = 0
        for name in names:
            if name == AUDIT_MONTHS:
                count = make_months(self._engine)
            else:
                rule = self._rules[name]
                count = remove_all(self._engine, self._settings, rule, self._alive)
            self._due_s[name] = self._clock() + DAY_S
            if count:
                log.info("applied retention", rule=name, count=count)
            done += count
        return done
