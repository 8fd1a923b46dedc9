"""`cymba bridge`: the MQTT edge, one process a slot."""

import sys

import click

from cymba.settings import Settings
from mqtt_bridge.app import Bridge, serve
from ops import traces
from ops.cells import process_name, require_cell
from ops.database import open_engine
from ops.exits import Exit
from ops.metrics_server import serving
from ops.process_metrics import show_process


@click.command()
@click.option(
    "--slot",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Which of the CYMBA_BRIDGE_SLOTS this is; each runs once.",
)
@click.pass_obj
def bridge(settings: Settings, slot: int) -> None:
    """Store what devices publish, and acknowledge what is stored.

    It runs until SIGTERM or Ctrl-C. Then it writes what it has received, acknowledges it and
    disconnects. If it is killed nothing is lost: devices resend what was not acknowledged.

    The broker is CYMBA_BROKER_URL, that of CYMBA_CELL; the user name "bridge" in it stands for the
    slot's own, bridge-0, bridge-1 and so on.

    \b
    CYMBA_BRIDGE_SLOTS=2 cymba bridge --slot 1
    """
    if slot >= settings.bridge_slots:
        raise click.BadParameter(
            f"CYMBA_BRIDGE_SLOTS is {settings.bridge_slots}, so slots are 0 to "
            f"{settings.bridge_slots - 1}",
            param_hint="--slot",
        )
    name = f"{process_name('bridge', settings)}-{slot}"
    with traces.sent(name), open_engine(settings, application_name=name) as engine:
        require_cell(engine, settings)
        running = Bridge(settings, engine, slot)
        show_process(running.metrics.registry, settings, engine)
        with serving(
            settings.http_host, settings.metrics_port, running.metrics.registry, running.ill_health
        ):
            status = serve(running)
    if status:
        sys.exit(Exit.FAILED)
