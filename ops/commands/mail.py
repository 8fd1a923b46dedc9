"""`cymba mail`: sends the mails in the outbox, through SMTP or into files."""

import click

from cymba.settings import Settings
from ops.database import open_engine
from ops.worker_process import WorkerOptions, work_on, worker_options
from workers.deliveries import postman
from workers.progress import Progress


@click.command()
@worker_options(every_s=2.0)
@click.pass_obj
def mail(settings: Settings, *, options: WorkerOptions) -> None:
    """Send the mails in the outbox.

    Through CYMBA_SMTP_URL (smtp[s]://[user:password@]host[:port]); without one each mail becomes a
    file in `outbox` under CYMBA_DATA_DIR. Several of these share the work.

    \b
    cymba mail --once
    """
    progress = Progress()
    with open_engine(settings, application_name="cymba mail") as engine:
        sender = postman(settings, engine, progress)
        # A mail that was not accepted is retried for days, so with --once it is no failure.
        work_on(settings, options, progress, engine, lambda: (sender.run_once(), 0))
