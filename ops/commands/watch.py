"""`cymba watch`: shows Prometheus what the database knows of queues and devices."""

import click

from cymba.settings import Settings
from ops.database import open_engine
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.progress import Progress
from workers.watch import EVERY_S, Watch


@click.command()
@worker_options(every_s=EVERY_S)
@click.pass_obj
def watch(settings: Settings, *, options: WorkerOptions) -> None:
    """Show what waits, what is in quarantine and how the devices are, at /metrics.

    One of these is enough: run it with --metrics-port.

    \b
    cymba watch --metrics-port 9100
    """
    progress = Progress()
    with open_engine(settings, application_name="cymba watch") as engine:
        watcher = Watch(engine, progress, every_s=options.every_s)
        work_on(settings, options, progress, engine, lambda: (False, len(watcher.run_once())))
