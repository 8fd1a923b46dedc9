"""`cymba watch`: shows Prometheus what the database knows of queues and devices."""

import click

from cymba.operations.log_lag import ArchiveLag, ReplicaLag
from cymba.settings import Settings
from ops.database import open_engine, replica_of
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.progress import Progress
from workers.watch import EVERY_S, FACTS, Watch


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
        facts = dict(FACTS) | {"archive": ArchiveLag().read}
        replica = replica_of(settings, application_name="cymba watch")
        if replica is not None:
            facts["replica"] = ReplicaLag(replica).read
        watcher = Watch(engine, progress, every_s=options.every_s, facts=facts)
        work_on(settings, options, progress, engine, lambda: (False, len(watcher.run_once())))
