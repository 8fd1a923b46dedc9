"""`cymba device`: provisioning devices, and replacing secrets and claim codes."""

import csv
import getpass
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import click
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.accounts.audit import Actor
from cymba.database import UnitOfWork, utc_now
from cymba.devices import cells, provisioning
from cymba.devices.provisioning import Credentials
from cymba.devices.signing import load_key, show_public_key
from cymba.errors import Conflict
from cymba.operations import fleet
from cymba.settings import FIRST_CELL, Settings
from ops import mosquitto_files
from ops.cells import process_name, require_cell
from ops.database import open_engine
from ops.mosquitto_files import Follower
from ops.worker_process import WorkerOptions, work_on
from workers.progress import Progress

COMMIT_EVERY = 500
PAUSE_S = 0.01  # between two rounds of `passwords --follow`, which listen for themselves


@click.group()
def device() -> None:
    """Provision devices, and replace their secrets and claim codes."""


@device.command()
@click.option("--model", required=True, help="The device model: one of `cymba model list`.")
@click.option(
    "--count", default=1, show_default=True, type=click.IntRange(min=1), help="How many to make."
)
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write them to this new file, or - for the screen  [default: devices-TIME.csv here]",
)
@click.option("--cell", default=FIRST_CELL, show_default=True, help="One of `cymba cell list`.")
@click.pass_obj
def provision(settings: Settings, model: str, count: int, csv_file: Path | None, cell: str) -> None:
    """Make devices: serial, device id, MQTT secret and claim code.

    Secrets and codes are written once, into a file that only you can read. Cymba stores hashes
    alone, so they cannot be shown again. programme_key is the public key with which the device
    verifies programmes; broker is the address of its cell's broker, where that was told. Rows are
    written as they are committed, so after an interrupted run the file holds every device that
    exists.

    \b
    cymba device provision --model ear_cymba --count 500 --csv batch-7.csv
    """
    programme_key = show_public_key(load_key(settings))
    with open_engine(settings) as engine:
        with UnitOfWork(engine) as session:
            provisioning.known_model(session, model)  # before a file is made
            address = cells.known_cell(session, cell)
        provisioned = _Provisioned(engine, cell, (programme_key, address or ""))
        if csv_file is not None and str(csv_file) == "-":
            provisioned.write(model, count, sys.stdout)
            return
        path = csv_file or Path(f"devices-{utc_now():%Y%m%dT%H%M%SZ}.csv")
        with _new_secret_file(path) as out:
            provisioned.write(model, count, out)
    what = "1 device" if count == 1 else f"{count:,} devices"
    click.echo(f"{what} of model {model}, with secrets and claim codes: {path}")


@contextmanager
def _new_secret_file(path: Path) -> Iterator[TextIO]:
    """Readable by its owner alone, and never over an earlier one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.BadParameter(f"{path} exists already", param_hint="--csv") from None
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}", param_hint="--csv") from None
    with os.fdopen(descriptor, "w", newline="") as out:
        yield out


class _Provisioned(NamedTuple):
    engine: Engine
    cell: str
    alike: tuple[str, str]  # what all of them are told: programme_key, broker

    def write(self, model: str, count: int, out: TextIO) -> None:
        _write(out, [(*Credentials._fields, "programme_key", "broker")])
        waiting: list[Credentials] = []
        with (
            UnitOfWork(self.engine) as session,
            click.progressbar(
                provisioning.provision(session, model, count, cell=self.cell),
                length=count,
                label="Provisioning",
                file=sys.stderr,
                hidden=count == 1 or out.isatty(),
            ) as devices,
        ):
            for made in devices:
                waiting.append(made)
                if len(waiting) == COMMIT_EVERY:
                    self._keep(session, waiting, out)
                    waiting.clear()
            self._keep(session, waiting, out)

    def _keep(self, session: Session, made: list[Credentials], out: TextIO) -> None:
        session.commit()
        _write(out, ((*one, *self.alike) for one in made))


def _write(out: TextIO, rows: Iterable[Iterable[str]]) -> None:
    csv.writer(out, lineterminator="\n").writerows(rows)
    out.flush()


@device.command("claim-code")
@click.argument("device_id")
@click.pass_obj
def claim_code(settings: Settings, device_id: str) -> None:
    """Give DEVICE_ID a new claim code, for its next holder. The old one becomes invalid."""
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        code = provisioning.reissue_claim_code(session, device_id)
        session.commit()
        click.echo(code)


@device.command()
@click.argument("device_id")
@click.pass_obj
def reissue(settings: Settings, device_id: str) -> None:
    """Give DEVICE_ID a new MQTT secret, which also ends a revocation.

    The old secret becomes invalid, and a connection made with it is cut.
    """
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        secret = provisioning.reissue_secret(session, device_id)
        session.commit()
        click.echo(secret)


@device.command()
@click.argument("device_id")
@click.pass_obj
def revoke(settings: Settings, device_id: str) -> None:
    """Lock DEVICE_ID out until its secret is re-issued. Its connection is cut."""
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        provisioning.revoke(session, device_id)
        session.commit()


@device.command()
@click.argument("devices", nargs=-1, required=True)
@click.argument("cell")
@click.pass_obj
def move(settings: Settings, devices: tuple[str, ...], cell: str) -> None:
    """Have DEVICES (by id or serial) come to CELL.

    Each stays where it is until its programme stands at the new broker, and it has heard of the
    address and come. Its own cell's name takes back an earlier move. Only firmware that follows
    comes (docs/device-protocol.md, R44); any other stays where it is. One that cannot be moved ends
    the command; those before it are asked to come. One that is there already is passed over.

    \b
    cymba device move EY4T7KQ2M9XD north
    cymba device move $(cat half-of-them.txt) north
    """
    key, by = load_key(settings), Actor("operator", getpass.getuser())
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        for name in devices:
            try:
                with session.begin():
                    fleet.move(session, key, name, cell, by=by, now=utc_now())
            except Conflict as there_already:
                click.echo(f"{there_already}")


@device.command()
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The password file to write; its folder must exist.",
)
@click.option(
    "--revoked",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write an access file that denies everything to revoked devices.",
)
@click.option("--follow", is_flag=True, help="Stay, and write again whenever a secret changes.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="With --follow: serve /metrics and /healthz here, on CYMBA_HTTP_HOST.",
)
@click.pass_obj
def passwords(
    settings: Settings, out: Path, revoked: Path | None, follow: bool, metrics_port: int | None
) -> None:
    """Write the password hashes of the devices of CYMBA_CELL as a Mosquitto password file.

    Files are replaced atomically. With --follow it waits for a database that does not answer, as
    every worker does, and the files stay as they are meanwhile.
    """
    files: dict[Path, mosquitto_files.Write] = {}
    if revoked is not None:
        files[revoked] = mosquitto_files.revoked
    files[out] = mosquitto_files.passwords
    name = process_name("passwords", settings)
    with open_engine(settings, application_name=name) as engine:
        require_cell(engine, settings)
        try:
            if follow:
                _follow(settings, engine, Follower(engine, files, settings.cell), metrics_port)
            else:
                with UnitOfWork(engine) as session:
                    mosquitto_files.write(session, files, settings.cell)
        except OSError as error:
            raise click.ClickException(f"cannot write {error.filename}: {error.strerror}") from None


def _follow(
    settings: Settings, engine: Engine, follower: Follower, metrics_port: int | None
) -> None:
    def listen() -> tuple[bool, int]:
        follower.run_once()
        return False, 0

    options = WorkerOptions(once=False, every_s=PAUSE_S, metrics_port=metrics_port)
    progress = Progress()
    progress.heartbeat.troubled("nothing is written yet")
    follower.show(progress.registry)
    try:
        work_on(settings, options, progress, engine, listen)
    finally:
        follower.close()
