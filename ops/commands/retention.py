"""`cymba retention`: removes what is past its retention period."""

import click

from cymba.rights.retention import RULES
from cymba.settings import Settings
from ops.database import open_engine
from workers.retention import remove_all


@click.group()
def retention() -> None:
    """Retention periods: how long things are kept (CYMBA_RETENTION_…_DAYS)."""


@retention.command()
@click.pass_obj
def show(settings: Settings) -> None:
    """List what is removed, and after how many days."""
    for rule in RULES:
        days = rule.days(settings)
        click.echo(f"{f'{days} days' if days else 'kept':>10}  {rule.about}")


@retention.command()
@click.pass_obj
def run(settings: Settings) -> None:
    """Remove what is past its retention period now. `cymba seal` does it every day.

    It works in small transactions and may be killed at any moment.

    \b
    cymba retention run
    """
    with open_engine(settings, application_name="cymba retention") as engine:
        for rule in RULES:
            click.echo(f"{remove_all(engine, settings, rule):>10}  {rule.name}")
