"""`cymba simulate`: simulated devices on a broker."""

import csv
import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from cymba.broker_address import BrokerAddress
from cymba.database import UnitOfWork
from cymba.devices.catalogue import all_models, read_file
from cymba.devices.models import MODELS, Model
from cymba.devices.signing import load_key, show_public_key
from cymba.settings import Settings
from cymba.stop_signals import when_asked_to_stop
from ops.database import open_engine
from ops.exits import Exit
from ops.household import provision_for
from simulator.faults import PROFILES
from simulator.fleet import DeviceCredentials, Fleet

TELL_EVERY_S = 1.0


@click.command()
@click.option(
    "--devices",
    "count",
    default=3,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many, spread evenly over the models that record by themselves, or those of --model.",
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="Above 1 each first lives a stretch of the past so many times as fast.",
)
@click.option("--broker", "broker_url", help="mqtt[s]://host[:port]  [default: CYMBA_BROKER_URL's]")
@click.option("--seed", default=0, show_default=True, help="The same seed makes the same frames.")
@click.option(
    "--profile",
    default="realistic",
    show_default=True,
    type=click.Choice(list(PROFILES)),
    help="How much goes wrong: links, clocks, reboots, payloads.",
)
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop after so long, not at Ctrl-C.")
@click.option(
    "--drain",
    "drain_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds given at the end to frames that are not acknowledged yet.",
)
@click.option(
    "--credentials",
    "credentials_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Devices as `cymba device provision --csv` wrote them; needs no database.",
)
@click.option("--model", "names", multiple=True, help="Only of this model; may be repeated.")
@click.option(
    "--model-file",
    "model_files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A model's document (`cymba model add`), for --credentials that name it.",
)
@click.option(
    "--made",
    "made_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a line of JSON for every frame made: device, store, seq, digest.",
)
@click.pass_obj
def simulate(
    settings: Settings,
    *,
    count: int,
    speed: float,
    broker_url: str | None,
    seed: int,
    profile: str,
    seconds: float | None,
    drain_s: float,
    credentials_file: Path | None,
    names: tuple[str, ...],
    model_files: tuple[Path, ...],
    made_file: Path | None,
) -> None:
    """Run simulated devices, which record and publish until Ctrl-C (or for --seconds).

    Each keeps a frame until the server has acknowledged it. Without --credentials the devices are
    provisioned in the database, for a made-up person.

    \b
    cymba simulate --devices 200 --speed 60 --seed 7

    Exit status 3 if frames are left that were not acknowledged.
    """
    models = MODELS | _documents(model_files)
    if credentials_file is not None:
        credentials = [one for one in _read(credentials_file) if not names or one.model in names]
        credentials = credentials[:count]
    else:
        credentials, models = _provisioned(settings, count, names)
    unknown = {one.model for one in credentials} - models.keys()
    if unknown:
        detail = f"no model {', '.join(sorted(unknown))}: give its document with --model-file"
        raise click.BadParameter(detail, param_hint="--credentials")
    stopping = threading.Event()
    when_asked_to_stop(stopping.set)
    try:
        broker = BrokerAddress.parse(broker_url or settings.broker_url, settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--broker") from None
    fleet = Fleet(broker, credentials, seed=seed, speed=speed, profile=profile, models=models)
    if made_file is not None:
        made_file.touch()  # it exists from here on, however this ends
    fleet.start()
    until_s = None if seconds is None else time.monotonic() + seconds
    while not stopping.wait(TELL_EVERY_S if until_s is None else _left(until_s)):
        fleet.check()
        _show(fleet)
        if until_s is not None and time.monotonic() >= until_s:
            break
    click.echo("\nwaiting for the last acknowledgements", err=True)
    is_drained = fleet.stop(timeout_s=drain_s)
    _show(fleet)
    click.echo(err=True)
    if made_file is not None:
        _write(made_file, fleet.made)
    if not is_drained:
        click.echo(f"cymba: {fleet.counters.outstanding} frames are not acknowledged", err=True)
        sys.exit(Exit.UNMET)


def _left(until_s: float) -> float:
    return max(0.0, min(TELL_EVERY_S, until_s - time.monotonic()))


def _documents(files: Iterable[Path]) -> dict[str, Model]:
    return {model.name: model for model in map(read_file, files)}


def _provisioned(
    settings: Settings, count: int, names: Sequence[str]
) -> tuple[list[DeviceCredentials], dict[str, Model]]:
    """Of the models named, or else of those that record by themselves."""
    programme_key = show_public_key(load_key(settings))
    with open_engine(settings) as engine, UnitOfWork(engine) as session:
        models = {model.name: model for model in all_models(session)}
        wanted = names or [one.name for one in models.values() if one.recorder == "device"]
        each = [wanted[i % len(wanted)] for i in range(count)]
        made = provision_for(session, "simulated@cymba.invalid", each)
        session.commit()
    devices = [
        DeviceCredentials(one.device_id, one.secret, one.model, programme_key) for one in made
    ]
    return devices, models


def _read(path: Path) -> list[DeviceCredentials]:
    with path.open(newline="") as file:
        try:
            return [
                DeviceCredentials(
                    row["device_id"], row["secret"], row["model"], row.get("programme_key")
                )
                for row in csv.DictReader(file)
            ]
        except KeyError as missing:
            raise click.BadParameter(
                f"{path} has no column {missing}", param_hint="--credentials"
            ) from None


def _show(fleet: Fleet) -> None:
    counters = fleet.counters
    click.echo(
        f"\r{fleet.connected} online  {counters.made} made  {counters.acked} acknowledged  "
        f"{counters.outstanding} waiting  {counters.resent} resent  {counters.rejected} rejected",
        err=True,
        nl=not sys.stderr.isatty(),
    )


def _write(path: Path, made: Mapping[str, Mapping[tuple[int, int], bytes | None]]) -> None:
    with path.open("w") as file:
        for device_id, frames in made.items():
            for (store, seq), digest in frames.items():
                row = {
                    "device_id": device_id,
                    "store": store,
                    "seq": seq,
                    "digest": digest.hex() if digest is not None else None,  # null: spoiled
                }
                file.write(json.dumps(row) + "\n")
