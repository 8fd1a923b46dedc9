"""`cymba retention`: what is past its time goes."""

import time
from collections.abc import Callable

import click
import structlog
from sqlalchemy import Engine

from cymba.database import UnitOfWork, utc_now
from cymba.rights.retention import RULES, remove_some
from cymba.settings import Settings
from ops.database import open_engine

DAY_S = 24 * 3600.0

log = structlog.get_logger(__name__)


@click.group()
def retention() -> None:
    """How long things are kept that nobody needs for ever: CYMBA_RETENTION_…_DAYS."""


@retention.command()
@click.pass_obj
def show(settings: Settings) -> None:
    """List what is removed after how many days."""
    for rule in RULES:
        days = rule.days(settings)
        click.echo(f"{f'{days} days' if days else 'kept':>10}  {rule.about}")


@retention.command()
@click.pass_obj
def run(settings: Settings) -> None:
    """Remove what is past its time, now. `cymba seal` does it every day.

    It works in small transactions and may be killed at any moment.

    \b
    cymba retention run
    """
    with open_engine(settings, application_name="cymba retention") as engine:
        for name, count in apply(engine, settings).items():
            click.echo(f"{count:>10}  {name}")


def apply(engine: Engine, settings: Settings) -> dict[str, int]:
    """Remove all that is past its time; how many rows, by rule."""
    removed = {}
    for rule in RULES:
        removed[rule.name] = 0
        while True:
            with UnitOfWork(engine) as session, session.begin():
                count = remove_some(session, rule, settings, now=utc_now())
            removed[rule.name] += count
            if not count:
                break
    return removed


class Daily:
    """Does `apply` when it is called first, and then at most once a day."""

    def __init__(
        self, engine: Engine, settings: Settings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._next_s = clock()

    def __call__(self) -> None:
        if self._clock() < self._next_s:
            return
        removed = apply(self._engine, self._settings)
        self._next_s = self._clock() + DAY_S
        if any(removed.values()):
            log.info("removed what was past its time", **{k: v for k, v in removed.items() if v})
