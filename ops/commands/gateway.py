"""`cymba gateway`: a consumer stimulator at this machine, recorded as a device of the protocol."""

import asyncio
import csv
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import click

from cymba.devices.catalogue import read_file
from cymba.devices.models import MODELS, Model
from cymba.settings import Settings
from gateway.config import GatewayConfig, NotSetUp, device_of, read_config, write_config
from gateway.desk.terminal import keys_of_terminal
from gateway.limits import Allowed, allowance
from gateway.network.sending import open_uplink
from gateway.radio.drivers import DRIVERS
from gateway.radio.interface import FoundDevice, Radio, RadioUnavailable
from gateway.radio.pretend import PRETEND_ADDRESS, PretendRadio
from gateway.store import FrameStore, StoreInUse, sole_use
from ops import gateway_run
from ops.exits import Exit

FIND_S = 10.0
FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its set-up and its records are kept.  [default: gateway in CYMBA_DATA_DIR]",
)
KIND = click.option(
    "--kind",
    type=click.Choice(list(DRIVERS)),
    default="neck-band",
    show_default=True,
    help="Which kind of stimulator.",
)


@click.group()
def gateway() -> None:
    """Use a neck band at this machine, and record its sessions.

    \b
    First:       cymba gateway try         the keys, with a pretended band
                 cymba gateway find        is your band in reach?
                 cymba gateway set-up      which band, which server
    Then:        cymba gateway run         sit down and use it
    Later:       cymba gateway status      limits, and what is still to be sent
                 cymba gateway send        send it, without using the band

    Only your keys at this machine start a session or raise its level. Nothing that comes over the
    network can. SPACE stops. Limits that you or the app set make less possible, never more, and
    hold without a network as well.

    If the link to the band is lost, the band may go on stimulating: nobody can see what it does.
    This program says so, keeps looking for the band, and tells it to stop first when the link is
    back. Use the band's own button, or take it off.

    No session is lost: what is recorded stays here until the server has it.
    """


@gateway.command()
@KIND
@click.option(
    "--seconds",
    default=FIND_S,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long to look.",
)
def find(kind: str, seconds: float) -> None:
    """Look for stimulators in reach of this machine's Bluetooth.

    A band that its maker's app is connected to does not show: close the app first.
    """
    found = _find(kind, seconds)
    for one in found:
        signal = "" if one.signal_dbm is None else f"  {one.signal_dbm} dBm"
        click.echo(f"{one.address}  {one.name}{signal}")
    if not found:
        click.echo(
            f"cymba: no {DRIVERS[kind].title} is in reach. Switch it on, close its maker's app, "
            "and hold it near this machine.",
            err=True,
        )
        sys.exit(Exit.UNMET)


@gateway.command("set-up")
@FOLDER
@KIND
@click.option(
    "--credentials",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file that `cymba device provision --model neck_band` wrote.",
)
@click.option("--device", "device_id", help="Which device of that file, if it has several.")
@click.option(
    "--model-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The model's document, as for `cymba model add`, where Cymba does not ship it.",
)
@click.option(
    "--server",
    required=True,
    help="mqtt[s]://host[:port] of the broker, or http[s]://host[:port] of the API.",
)
@click.option(
    "--address", help="The stimulator's, as `find` shows it.  [default: the one in reach]"
)
@click.option(
    "--side",
    type=click.Choice(["both", "left", "right"]),
    default="both",
    show_default=True,
    help="Where it stimulates.",
)
@click.option(
    "--highest-level", type=click.IntRange(min=1), help="Your own limit: no level above this."
)
@click.option(
    "--longest-minutes", type=click.FloatRange(min=0.5), help="Your own limit: no longer session."
)
@click.pass_obj
def set_up(
    settings: Settings,
    *,
    folder: Path | None,
    kind: str,
    credentials: Path,
    device_id: str | None,
    model_file: Path | None,
    server: str,
    address: str | None,
    side: str,
    highest_level: int | None,
    longest_minutes: float | None,
) -> None:
    """Say which stimulator this machine is beside, and who it is to the server.

    Set it up again to change anything. Over HTTP a server that is older than this program gives no
    limits of the app, so your own highest level is needed then.

    \b
    cymba device provision --model neck_band --csv band.csv
    cymba gateway set-up --credentials band.csv --server mqtts://cymba.example.org
    """
    row = _credentials(credentials, device_id)
    model = _model(row["model"], model_file)
    if not server.startswith(("mqtt://", "mqtts://", "http://", "https://")):
        raise click.BadParameter("it is not mqtt[s]://… or http[s]://…", param_hint="--server")
    if server.startswith("http") and highest_level is None:
        raise click.BadParameter(
            "over HTTP the app's limits may not arrive (an older server gives none); give the "
            "highest level that you want",
            param_hint="--highest-level",
        )
    config = GatewayConfig(
        device_id=row["device_id"],
        secret=row["secret"],
        model=model,
        programme_key=row.get("programme_key") or None,
        server=server,
        kind=kind,
        address=address or _only_one(kind),
        side=side,  # type: ignore[arg-type] # click checked it
        highest_level=highest_level,
        longest_s=None if longest_minutes is None else int(longest_minutes * 60),
    )
    place = _folder(settings, folder)
    before = device_of(place)
    if before not in {None, config.device_id}:
        raise click.BadParameter(
            f"{place} keeps the records of {before}; give another folder", param_hint="--folder"
        )
    path = write_config(place, config)
    click.echo(f"{model.title} at {config.address}: {path}")
    if row.get("claim_code"):
        click.echo("Claim the device in the app with the claim code of that file, if you have not.")


@gateway.command()
@FOLDER
@click.pass_obj
def run(settings: Settings, folder: Path | None) -> None:
    """Use the stimulator: your keys start and stop it, and what happens is recorded.

    \b
    SPACE  STOP (so do ENTER, ESC, 0 and X)
    S      start, at level 1              + and -  one level up, down
    G      go on after a pause            Q        stop and quit

    To close this program or its window stops the stimulator as well, as long as there is a link. If
    the program is killed or the machine loses power, the stimulator gets no stop and may go on.

    Exit status 1 if a stop did not get through at the end: the stimulator may still be on.
    """
    _need_keyboard()
    place = _folder(settings, folder)
    _end(_run(place, _config(place), _bluetooth()))


@gateway.command("try")
@KIND
def try_out(kind: str) -> None:
    """Try the keys with a pretended stimulator. Nothing is kept, and nothing is sent."""
    _need_keyboard()
    config = GatewayConfig(
        device_id="pretended",
        secret="",
        model=MODELS["neck_band"],
        programme_key=None,
        server="",
        kind=kind,
        address=PRETEND_ADDRESS,
    )
    click.echo(f"This {DRIVERS[kind].title} is pretended: nothing is kept, and nothing is sent.")
    with tempfile.TemporaryDirectory() as folder:
        gateway_run.run(Path(folder), config, PretendRadio(), keys_of_terminal(), sends=False)


@gateway.command()
@FOLDER
@click.pass_obj
def status(settings: Settings, folder: Path | None) -> None:
    """Show the limits that hold, and what is still to be sent."""
    place = _folder(settings, folder)
    config = _config(place)
    store = FrameStore(place)
    driver = DRIVERS[config.kind]
    allowed = allowance(config, store, driver.highest_level, time.time_ns() // 1_000_000)
    click.echo(f"Device      {config.device_id}, {config.model.title} at {config.address}")
    click.echo(f"Server      {config.server}")
    if isinstance(allowed, Allowed):
        minutes = allowed.longest_s / 60
        click.echo(f"Limits      up to level {allowed.highest_level}, {minutes:g} min from now")
    else:
        click.echo(f"Limits      no session: {allowed.because}")
    click.echo(f"To send     {len(store)} frames")
    if store.may_be_on:
        click.echo(f"NOT KNOWN   the {driver.title} may be on. {driver.when_lost}")
    store.close()


@gateway.command()
@FOLDER
@click.option(
    "--seconds",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long to try, at most.",
)
@click.pass_obj
def send(settings: Settings, folder: Path | None, seconds: float) -> None:
    """Send what is recorded, without using the stimulator.

    Exit status 3 if frames are left that the server has not acknowledged.
    """
    place = _folder(settings, folder)
    config = _config(place)
    try:
        with sole_use(place):
            store = FrameStore(place)
            store.begin_boot()
            uplink = open_uplink(config, store)
            until_s = time.monotonic() + seconds
            while len(store) and time.monotonic() < until_s:
                uplink.step_once()
            uplink.shut()
            left = len(store)
            store.close()
    except (StoreInUse, ValueError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{left} frames are left" if left else "all is sent")
    sys.exit(Exit.UNMET if left else Exit.DONE)


def _need_keyboard() -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("it needs a keyboard: without one there is no stop key")


def _run(folder: Path, config: GatewayConfig, radio: Radio) -> bool:
    try:
        return gateway_run.run(folder, config, radio, keys_of_terminal())
    except StoreInUse as error:
        raise click.ClickException(str(error)) from None
    except sqlite3.Error as error:
        raise click.ClickException(
            f"the records in {folder} cannot be written ({error}). The stimulator was told to "
            "stop, if there was a link: look whether it did"
        ) from None


def _end(is_off: bool) -> None:
    if is_off:
        return
    click.echo("cymba: a stop did not get through. The stimulator may still be on.", err=True)
    sys.exit(Exit.FAILED)


def _folder(settings: Settings, folder: Path | None) -> Path:
    return folder or settings.data_dir / "gateway"


def _config(folder: Path) -> GatewayConfig:
    try:
        return read_config(folder)
    except NotSetUp as error:
        raise click.ClickException(str(error)) from None


def _bluetooth() -> Radio:
    from gateway.radio.bluetooth import BleakRadio  # noqa: PLC0415 - only where a radio is wanted

    return BleakRadio()


def _find(kind: str, seconds: float) -> list[FoundDevice]:
    try:
        return asyncio.run(_bluetooth().find(DRIVERS[kind].profile, seconds))
    except RadioUnavailable as error:
        raise click.ClickException(str(error)) from None


def _only_one(kind: str) -> str:
    found = _find(kind, FIND_S)
    if len(found) == 1:
        return found[0].address
    what = f"{len(found)} of that kind are in reach" if found else "none is in reach"
    raise click.BadParameter(
        f"{what}; see `cymba gateway find`, and give one", param_hint="--address"
    )


def _model(name: str, file: Path | None) -> Model:
    if file is None:
        model = MODELS.get(name)
        if model is None:
            raise click.BadParameter(
                f"Cymba ships no model {name}; give its document", param_hint="--model-file"
            )
    else:
        model = read_file(file)
    if model.name != name or model.native_levels is None or model.reports.current != "by_level":
        raise click.BadParameter(
            f"the gateway needs {name}, by level and without a current; this is {model.name}",
            param_hint="--model-file" if file else "--credentials",
        )
    return model


def _credentials(path: Path, device_id: str | None) -> dict[str, str]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if any({"device_id", "secret", "model"} - row.keys() for row in rows):
        raise click.BadParameter(
            f"{path} is not what `cymba device provision` writes", param_hint="--credentials"
        )
    chosen = [row for row in rows if device_id in (None, row["device_id"])]
    if len(chosen) != 1:
        raise click.BadParameter(
            f"{path} has {len(chosen)} such devices; name one", param_hint="--device"
        )
    return chosen[0]
