"""`cymba cell`: the brokers that devices are divided among."""

import click

from cymba.database import UnitOfWork, utc_now
from cymba.devices import cells
from cymba.settings import Settings
from ops.database import open_engine


@click.group()
def cell() -> None:
    """Divide the devices among several brokers, each with its own bridges."""


@cell.command()
@click.argument("name")
@click.argument("address")
@click.pass_obj
def add(settings: Settings, name: str, address: str) -> None:
    """Add the cell NAME, whose broker devices reach at ADDRESS.

    Of a cell that there is, this is the new address, for devices that come from now on. The cell of
    an installation that has no other is called "first". The broker, its bridges and its password
    files' follower are started with CYMBA_CELL=NAME.

    \b
    cymba cell add north mqtts://north.example.org:8883
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session, session.begin():
        cells.add(session, name, address, utc_now())


@cell.command("list")
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the cells, with how many devices each has, and how many are to come.

    \b
    cymba cell list
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        for one in cells.cells(session):
            click.echo(
                f"{one.name:<16} {one.devices:>9,} devices {one.coming:>9,} to come"
                f"  {one.address or 'no address told'}"
            )
