"""`cymba mail`: sends what the outbox holds, through SMTP or into files."""

from pathlib import Path

import click

from cymba.settings import Settings
from ops.database import open_engine
from workers import rounds
from workers.deliveries import MailSender, postman


@click.command()
@click.option("--once", is_flag=True, help="Send what is due, then end.")
@click.option(
    "--every",
    "every_s",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.1),
    help="Seconds between two looks into the outbox.",
)
@click.option(
    "--heartbeat",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file to touch after each round that worked, for health checks.",
)
@click.pass_obj
def mail(settings: Settings, *, once: bool, every_s: float, heartbeat: Path | None) -> None:
    """Send the mails that wait in the outbox.

    Through CYMBA_SMTP_URL (smtp[s]://[user:password@]host[:port]); without one each mail becomes a
    file in `outbox` under CYMBA_DATA_DIR. Several of these share the work.

    \b
    cymba mail --once
    """
    with open_engine(settings, application_name="cymba mail") as engine:
        sender: MailSender = postman(settings, engine)
        rounds.repeat(sender.run_once, every_s=every_s, once=once, heartbeat=heartbeat)
