"""`cymba seal`: the keeper of sessions."""

import signal
import sys
import threading
from pathlib import Path

import click
import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

from cymba.settings import Settings
from cymba.stimulation.keeper import Keeper, Kept
from ops.database import open_engine
from ops.exits import Exit

LONGEST_WAIT_S = 30.0

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
    """Sum sessions up as their frames come, close silent ones, seal finished ones.

    What the app shows of a session is made here, so one of these runs beside the bridges; several
    share the work. It may be killed at any moment: what it had not committed is done again.

    \b
    cymba seal --once
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    failed = 0
    with open_engine(settings, application_name="cymba seal") as engine:
        keeper = Keeper(engine, settings)
        wait_s = every_s
        while not stopping.is_set():
            try:
                kept = keeper.run_once()
            except (OperationalError, InterfaceError):
                if once:
                    raise
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                log.warning("the database does not answer", retry_s=wait_s)
                stopping.wait(wait_s)
                continue
            wait_s = every_s
            failed += len(kept.failed)
            _tell(kept)
            if heartbeat is not None:
                heartbeat.touch()
            if kept.more:
                continue
            if once:
                break
            stopping.wait(every_s)
    if once and failed:
        click.echo(f"cymba: {failed} sessions could not be dealt with; see the log", err=True)
        sys.exit(Exit.FAILED)


def _tell(kept: Kept) -> None:
    if kept.summarised or kept.closed or kept.sealed:
        log.info("kept", summarised=kept.summarised, closed=kept.closed, sealed=kept.sealed)
