"""`cymba seal`: the session worker."""

from functools import partial

import click
import structlog

from cymba.devices.signing import load_key
from cymba.settings import Settings
from ops.database import open_engine
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.programmes import ProgrammeAnswers
from workers.progress import Progress
from workers.retention import DailyRetention
from workers.session_worker import SessionRound, SessionWorker

log = structlog.get_logger(__name__)


@click.command()
@worker_options(every_s=0.5)
@click.pass_obj
def seal(settings: Settings, *, options: WorkerOptions) -> None:
    """Sum sessions up as their frames come, close silent ones, seal finished ones; send a
    newer programme to a device that speaks of one that was never set here; and once a day remove
    what is past its time (`cymba retention show`).

    What the app shows of a session is made here, so one of these runs beside the bridges; several
    share the work. It may be killed at any moment: what it had not committed is done again.

    \b
    cymba seal --once
    """
    progress = Progress(options.heartbeat)
    with open_engine(settings, application_name="cymba seal") as engine:
        keeper = SessionWorker(engine, settings, progress)
        retention = DailyRetention(engine, settings, progress)
        programmes = ProgrammeAnswers(engine, partial(load_key, settings), progress)

        def work() -> tuple[bool, int]:
            unruly = [*programmes.run_once(), *retention.run_once()]
            done = keeper.run_once()
            _tell(done)
            return done.more, len(done.failed) + len(unruly)

        work_on(settings, options, progress, work)


def _tell(done: SessionRound) -> None:
    if done.summarised or done.closed or done.compacted:
        log.info("kept", summarised=done.summarised, closed=done.closed, compacted=done.compacted)
