"""`cymba api`: the REST edge under granian."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir

import click
import structlog
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server import Server
from sqlalchemy.exc import OperationalError

import migrations
from cymba.accounts.keys import load_secret
from cymba.processes import runs
from cymba.settings import Settings
from ops import logs, ports, schema, wsgi
from ops.database import engine_of, open_url

log = structlog.get_logger(__name__)

STOP_S = 20  # for requests under way
# Where memory is shared as files. On a full disk a process that counts would be killed.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's
NUMBERS = "cymba-api"


@click.command()
@click.option("--host", help="Address to listen on  [default: CYMBA_HTTP_HOST, 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port  [default: CYMBA_HTTP_PORT, 8000]"
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes."
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    help="Serve /metrics and /healthz here too, apart from all requests  "
    "[default: CYMBA_METRICS_PORT]",
)
@click.pass_obj
def api(
    settings: Settings, host: str | None, port: int | None, workers: int, metrics_port: int | None
) -> None:
    """Serve the REST API, its OpenAPI document (/v1/openapi.json) and its page (/docs).

    By default it listens on this machine only. Put a proxy that terminates TLS in front of it.
    SIGTERM and Ctrl-C end it once all that has reached its port is answered.

    \b
    cymba api --port 8000
    """
    host = host or settings.http_host
    port = port or settings.http_port
    load_secret(settings)  # a bad key is reported here, once, and not by each worker
    metrics_port = metrics_port or settings.metrics_port
    if ports.is_taken(host, port):
        raise click.ClickException(f"port {port} on {host} is in use; choose another with --port")
    if metrics_port is not None:
        if ports.is_taken(host, metrics_port):
            raise click.ClickException(
                f"port {metrics_port} on {host} is in use; choose another with --metrics-port"
            )
        os.environ |= {"CYMBA_METRICS_PORT": str(metrics_port), "CYMBA_HTTP_HOST": host}
    with open_url(settings) as url, _shared_numbers() as numbers:
        # The workers are processes of their own.
        os.environ |= {"CYMBA_DATABASE_URL": url, "PROMETHEUS_MULTIPROC_DIR": numbers}
        _warn_of_schema(settings, url)
        Server(
            f"{wsgi.__name__}:create",
            factory=True,
            interface=Interfaces.WSGI,
            address=host,
            port=port,
            workers=workers,
            # As many requests at once as the pool has connections, and the streams, which wait
            # without one.
            blocking_threads=2 * settings.database_pool_size
            + settings.live_streams
            + settings.sync_streams,
            log_level=LogLevels(settings.log_level),
            log_dictconfig=logs.dict_config(settings),
            workers_kill_timeout=STOP_S,
            respawn_failed_workers=True,
        ).serve()


@contextmanager
def _shared_numbers() -> Iterator[str]:
    """The folder in which this API's processes count together."""
    folder = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else Path(gettempdir())
    for left in folder.glob(f"{NUMBERS}-*-*"):  # by one that was killed
        pid = left.name.split("-")[2]
        if pid.isdecimal() and (int(pid) == os.getpid() or not runs(int(pid))):
            rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f"{NUMBERS}-{os.getpid()}-", dir=folder) as made:
        yield made


def _warn_of_schema(settings: Settings, url: str) -> None:
    """Warn at the start of what `/readyz` will report. A database that is away may come back."""
    engine = engine_of(settings, url)
    try:
        current = schema.current(engine)
    except OperationalError:
        log.warning("the database does not answer yet")
    else:
        if current != migrations.head():
            log.warning("not ready: run `cymba db upgrade`", at=current, needed=migrations.head())
    finally:
        engine.dispose()
