"""`cymba seal`: the keeper of sessions."""

import sys
from pathlib import Path

import click
import structlog

from cymba.settings import Settings
from ops.commands.retention import Daily
from ops.database import open_engine
from ops.exits import Exit
from workers import rounds
from workers.session_worker import SessionRound, SessionWorker

log = structlog.get_logger(__name__)


@click.command()
@click.option("--once", is_flag=True, help="Do what there is to do, then end.")
@click.option(
    "--every",
    "every_s",
    default=0.5,
    show_default=True,
    type=click.FloatRange(min=0.05),
    help="Seconds between two looks for something to do.",
)
@click.option(
    "--heartbeat",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file to touch after each round that worked, for health checks.",
)
@click.pass_obj
def seal(settings: Settings, *, once: bool, every_s: float, heartbeat: Path | None) -> None:
    """Sum sessions up as their frames come, close silent ones, seal finished ones; and once a day
    remove what is past its time (`cymba retention show`).

    What the app shows of a session is made here, so one of these runs beside the bridges; several
    share the work. It may be killed at any moment: what it had not committed is done again.

    \b
    cymba seal --once
    """
    failed = 0
    with open_engine(settings, application_name="cymba seal") as engine:
        keeper = SessionWorker(engine, settings)
        remove_old = Daily(engine, settings)

        def work() -> bool:
            nonlocal failed
            remove_old()
            kept = keeper.run_once()
            failed += len(kept.failed)
            _tell(kept)
            return kept.more

        rounds.repeat(work, every_s=every_s, once=once, heartbeat=heartbeat)
    if once and failed:
        click.echo(f"cymba: {failed} sessions could not be dealt with; see the log", err=True)
        sys.exit(Exit.FAILED)


def _tell(kept: SessionRound) -> None:
    if kept.summarised or kept.closed or kept.sealed:
        log.info("kept", summarised=kept.summarised, closed=kept.closed, sealed=kept.sealed)
