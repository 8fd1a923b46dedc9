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
    """Aggregate frames into sessions, close silent sessions and compact finished ones. Send a newer
    programme to a device that reports a version that was never set here. Once a day, remove what
    is past its retention period (`cymba retention show`).

    The app shows what this makes, so at least one must run beside the bridges; several share the
    work. It may be killed at any moment: what it had not committed is done again.

    \b
    cymba seal --once
    """
    progress = Progress()
    with open_engine(settings, application_name="cymba seal") as engine:
        worker = SessionWorker(engine, settings, progress)
        retention = DailyRetention(engine, settings, progress)
        programmes = ProgrammeAnswers(engine, partial(load_key, settings), progress)

        def work() -> tuple[bool, int]:
            unruly = [*programmes.run_once(), *retention.run_once()]
            done = worker.run_once()
            _log_round(done)
            return done.more, len(done.failed) + len(unruly)

        work_on(settings, options, progress, engine, work)


def _log_round(done: SessionRound) -> None:
    if done.summarised or done.closed or done.compacted:
        log.info("kept", summarised=done.summarised, closed=done.closed, compacted=done.compacted)
