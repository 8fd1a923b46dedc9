"""`cymba device`: provisioning, and what an operator does about secrets and codes."""

import csv
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import click
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from cymba.devices import provisioning
from cymba.devices.models import MODELS
from cymba.devices.tables import Device
from cymba.settings import Settings
from ops.database import open_engine

COMMIT_EVERY = 500
POLL_S = 1.0


@click.group()
def device() -> None:
    """Provision devices, and replace their secrets and claim codes."""


@device.command()
@click.option("--model", required=True, type=click.Choice(list(MODELS)), help="The device model.")
@click.option(
    "--count", default=1, show_default=True, type=click.IntRange(min=1), help="How many to make."
)
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="Write them to this new file."
)
@click.pass_obj
def provision(settings: Settings, model: str, count: int, csv_file: Path | None) -> None:
    """Make devices: serial, device id, MQTT secret and claim code.

    Secrets and codes are shown once, here, and cannot be read again: only hashes are kept. Rows are
    written as they are committed, so an interrupted run has told of every device that exists.

    \b
    cymba device provision --model ear_cymba --count 500 --csv batch-7.csv
    """
    with open_engine(settings) as engine:
        if csv_file is None:
            _provision(engine, model, count, sys.stdout)
            return
        try:
            # Secrets are in it: readable by its owner alone, and never over an earlier batch.
            descriptor = os.open(csv_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise click.BadParameter(f"{csv_file} exists already", param_hint="--csv") from None
        except OSError as error:
            raise click.BadParameter(f"{csv_file}: {error.strerror}", param_hint="--csv") from None
        with os.fdopen(descriptor, "w", newline="") as out:
            _provision(engine, model, count, out)


def _provision(engine: Engine, model: str, count: int, out: TextIO) -> None:
    _write(out, [provisioning.Credentials._fields])
    waiting: list[provisioning.Credentials] = []
    with (
        Session(engine) as session,
        click.progressbar(
            provisioning.provision(session, model, count),
            length=count,
            label="Provisioning",
            file=sys.stderr,
            hidden=count == 1 or out.isatty(),
        ) as devices,
    ):
        for made in devices:
            waiting.append(made)
            if len(waiting) == COMMIT_EVERY:
                session.commit()
                _write(out, waiting)
                waiting.clear()
        session.commit()
        _write(out, waiting)


def _write(out: TextIO, rows: Iterable[Iterable[str]]) -> None:
    csv.writer(out, lineterminator="\n").writerows(rows)
    out.flush()


@device.command("reissue-code")
@click.argument("device_id")
@click.pass_obj
def reissue_code(settings: Settings, device_id: str) -> None:
    """Give DEVICE_ID a new claim code; the old one ends."""
    with open_engine(settings) as engine, Session(engine) as session:
        code = provisioning.reissue_claim_code(session, device_id)
        session.commit()
        click.echo(code)


@device.command("reissue-secret")
@click.argument("device_id")
@click.pass_obj
def reissue_secret(settings: Settings, device_id: str) -> None:
    """Give DEVICE_ID a new MQTT secret; the old one ends, and so does a revocation."""
    with open_engine(settings) as engine, Session(engine) as session:
        secret = provisioning.reissue_secret(session, device_id)
        session.commit()
        click.echo(secret)


@device.command()
@click.argument("device_id")
@click.pass_obj
def revoke(settings: Settings, device_id: str) -> None:
    """Let DEVICE_ID in no more, until its secret is re-issued."""
    with open_engine(settings) as engine, Session(engine) as session:
        provisioning.revoke(session, device_id)
        session.commit()


@device.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; its folder must exist.",
)
@click.option("--follow", is_flag=True, help="Stay, and write again whenever a device changes.")
@click.pass_obj
def passwords(settings: Settings, out: Path, follow: bool) -> None:
    """Write the devices' password hashes as a Mosquitto password file.

    The file is replaced as a whole, never seen half written.
    """
    with open_engine(settings, application_name="cymba passwords") as engine:
        written: str | None = None
        while True:
            with Session(engine) as session:
                rows = session.execute(
                    select(Device.id, Device.secret_hash)
                    .where(Device.secret_hash.is_not(None))
                    .order_by(Device.id)
                ).all()
            text = "".join(f"{device_id}:{secret_hash}\n" for device_id, secret_hash in rows)
            if text != written:
                _replace(out, text)
                written = text
            if not follow:
                return
            time.sleep(POLL_S)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.write_text(text)
        draft.replace(path)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
