"""`cymba model`: the models of device that there are."""

import getpass
import json
from pathlib import Path

import click

from cymba.accounts.audit import Actor
from cymba.database import UnitOfWork, utc_now
from cymba.devices import catalogue
from cymba.devices.models import MODELS, Model
from cymba.settings import Settings
from ops.database import open_engine


@click.group()
def model() -> None:
    """Look at the models of device that there are, and add others."""


@model.command("list")
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the models, with what each reports of a session and who writes it down.

    \b
    cymba model list
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        for one in catalogue.all_models(session):
            whose = "shipped" if one.name in MODELS else f"version {one.version}"
            click.echo(
                f"{one.name:<24} {whose:<12} current {one.reports.current:<9}"
                f" recorder {one.recorder:<7} {one.title}"
            )


@model.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--widens-limits", is_flag=True, help="It may raise limits of the version before it.")
@click.pass_obj
def add(settings: Settings, file: Path, *, widens_limits: bool) -> None:
    """Add a model of device, or its next version, from a TOML or JSON document.

    `cymba model schema` prints the JSON Schema of such a document. A new version changes nothing of
    past sessions, and no limit of a device unless --widens-limits says so. Whoever holds a device
    of the model reads of it in their audit log.

    \b
    cymba model add our-band.toml
    """
    document = catalogue.read_file(file)
    by = Actor("operator", getpass.getuser()[:64])
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        added = catalogue.add_model(session, document, by, widens=widens_limits, now=utc_now())
        session.commit()
    click.echo(_in_words(added))


@model.command()
def schema() -> None:
    """Print the JSON Schema of a model's document.

    \b
    cymba model schema > model.schema.json
    """
    click.echo(json.dumps(catalogue.schema(), indent=2, ensure_ascii=False))


def _in_words(added: catalogue.Added) -> str:
    one: Model = added.model
    if added.before == one:
        return f"{one.name} is there already, as version {one.version}"
    wider = f"; it widens {'; '.join(added.wider)}" if added.wider else ""
    return f"{one.name}, version {one.version}{wider}"
