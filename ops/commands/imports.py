"""`cymba imports`: reads the files that people bring from other apps."""

import click

from cymba.settings import Settings
from ops.database import open_engine
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.imports import ImportsWorker
from workers.progress import Progress


@click.command()
@worker_options(every_s=1.0)
@click.pass_obj
def imports(settings: Settings, *, options: WorkerOptions) -> None:
    """Read the files that people bring from other apps; store and undo what they held.

    The files lie in the database. One of Health Connect is also copied into the folder for
    temporary files (TMPDIR) while it is read. Several of these share the work.

    \b
    cymba imports --once
    """
    progress = Progress()
    with open_engine(settings, application_name="cymba imports") as engine:
        worker = ImportsWorker(engine, settings, progress)
        work_on(settings, options, progress, engine, worker.run_once)
