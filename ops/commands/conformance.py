"""`cymba conformance`: checks which rules of the protocol a device keeps."""

import json
import sys
import threading
from pathlib import Path

import click

from conformance import report, rules
from conformance.drill import Drill, Programmes
from conformance.judgement import Outcome
from conformance.listener import AnotherServer, Entrance, Listener, Unreachable
from conformance.trace import ProtocolTimes
from cymba.broker_address import SLOT_USER, BrokerAddress
from cymba.devices.catalogue import read_file
from cymba.devices.models import MODELS
from cymba.devices.signing import load_key
from cymba.settings import Settings
from cymba.stop_signals import when_asked_to_stop
from ops.exits import Exit

LISTEN_S = 120.0
DRILL_S = 420.0
EXITS: dict[Outcome, Exit] = {
    "kept": Exit.DONE,
    "broken": Exit.FAILED,
    "unseen": Exit.UNMET,
}


@click.command()
@click.option("--device", "device_id", required=True, help="The id of the device to listen to.")
@click.option(
    "--broker",
    "broker_url",
    help="mqtt[s]://[user:password@]host[:port]  [default: CYMBA_BROKER_URL's]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help=f"How long, at most.  [default: {LISTEN_S:g}, with --drill {DRILL_S:g}]",
)
@click.option(
    "--drill",
    "drilled",
    is_flag=True,
    help="Be a server that misbehaves on purpose. What the device sends is lost.",
)
@click.option("--secret", help="The device's secret, where a drill needs it to cut its connection.")
@click.option(
    "--cut/--no-cut",
    "cuts",
    default=True,
    show_default=True,
    help="Whether a drill cuts the connection. The embedded broker does not cut the old one.",
)
@click.option(
    "--programme-version",
    type=click.IntRange(min=2, max=2**31),
    help="In a drill, send signed programmes from this version on; it is above the device's.",
)
@click.option(
    "--model-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The document of the device's model, if it is not one that comes with Cymba.",
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.pass_obj
def conformance(
    settings: Settings,
    *,
    device_id: str,
    broker_url: str | None,
    seconds: float | None,
    drilled: bool,
    secret: str | None,
    cuts: bool,
    programme_version: int | None,
    model_file: Path | None,
    as_json: bool,
) -> None:
    """Listen to a device and report which rules of docs/device-protocol.md it keeps.

    It listens beside the server, as a user of the broker who may read cymba/v1/DEVICE/#. Some rules
    show only when something goes wrong. With --drill it takes the place of the server, on a broker
    without one, and loses acks, cuts the connection, asks for resends and forges a programme.

    \b
    cymba conformance --device my-device-01 --drill --broker mqtt://127.0.0.1:1883

    Exit status 0 if every rule was seen to be kept, 1 if one is broken, 3 if some were not seen, 4
    if the broker does not answer.
    """
    entrance = _entrance(settings, broker_url, secret)
    model = None if model_file is None else read_file(model_file)
    timing = ProtocolTimes()
    drill = None
    if drilled:
        programmes = (
            Programmes(load_key(settings), programme_version) if programme_version else None
        )
        drill = Drill(device_id, timing, programmes, cuts, model=model or MODELS["ear_cymba"])
    elif secret or programme_version:
        raise click.UsageError("--secret and --programme-version go with --drill")
    stopping = threading.Event()
    when_asked_to_stop(stopping.set)
    listener = Listener(entrance, device_id, drill)
    try:
        listener.listen(seconds or (DRILL_S if drilled else LISTEN_S), stopping=stopping.is_set)
    except Unreachable as error:
        click.echo(f"cymba: {error}", err=True)
        sys.exit(Exit.UNREACHABLE)
    except AnotherServer as error:
        click.echo(f"cymba: {error}", err=True)
        sys.exit(Exit.USAGE)
    found = report.judge(device_id, listener.trace, timing, model)
    places = rules.places()
    if as_json:
        click.echo(json.dumps(report.as_json(found, places), indent=2))
    else:
        click.echo(report.as_text(found, places))
    sys.exit(EXITS[found.outcome])


def _entrance(settings: Settings, broker_url: str | None, secret: str | None) -> Entrance:
    try:
        broker = BrokerAddress.parse(broker_url or settings.broker_url, settings)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--broker") from None
    if broker.username == SLOT_USER:
        raise click.BadParameter(
            f"the user `{SLOT_USER}` is the bridge's own, whose connection this one would replace; "
            "name another user",
            param_hint="--broker",
        )
    return Entrance(broker, secret)
