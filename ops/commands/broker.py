"""`cymba broker`: the embedded broker, for a machine without another."""

import click

import ops.broker
from cymba.broker_address import BrokerAddress
from cymba.settings import Settings
from ops.cells import process_name, require_cell
from ops.database import open_engine


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port on this machine; 0 takes a free one  [default: that of CYMBA_BROKER_URL]",
)
@click.pass_obj
def broker(settings: Settings, port: int | None) -> None:
    """Run the embedded MQTT broker, on this machine alone, until SIGTERM or Ctrl-C.

    Devices sign in with their own secrets from the database, the bridge with the password of
    CYMBA_BROKER_URL. It is for trying things out: it speaks MQTT 3.1.1 only, knows no shared
    subscriptions and loses what is queued when it ends. Run Mosquitto or EMQX in production.

    \b
    CYMBA_BROKER_URL=mqtt://bridge:SECRET@127.0.0.1:1883 cymba broker
    """
    address = BrokerAddress.of(settings)
    if not address.password:
        raise click.UsageError(
            "the bridge needs a password to sign in with; set "
            "CYMBA_BROKER_URL=mqtt://bridge:SECRET@127.0.0.1:1883"
        )
    with open_engine(settings, application_name=process_name("broker", settings)) as engine:
        require_cell(engine, settings)
        try:
            ops.broker.run(
                engine,
                port=port if port is not None else address.port,
                secret=address.password,
                cell=settings.cell,
                started=lambda port: click.echo(f"listening on {ops.broker.HOST}:{port}"),
            )
        except OSError as error:
            raise click.ClickException(f"cannot listen: {error.strerror}") from None
