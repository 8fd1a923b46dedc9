"""The application as the HTTP server's worker loads it: settings from the environment, a pool of
its own."""

import os
import signal
from contextlib import ExitStack
from multiprocessing.util import Finalize
from threading import Event, Thread

import structlog
from flask import Flask
from prometheus_client import values
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from cymba.failures import name_of
from cymba.heartbeat import Heartbeat, Watchdog
from cymba.settings import load
from ops import logs, traces
from ops.database import engine_of, replica_of
from ops.metrics_server import serving
from ops.process_metrics import show_process
from service import create_app
from service.http.services import Services

PULSE_S = 5.0

log = structlog.get_logger(__name__)

_for_life = ExitStack()


def create() -> Flask:
    """`cymba api` has put the database's URL in the environment, also the embedded one's."""
    settings = load(os.environ)
    logs.configure(settings)
    if settings.database_url is None:
        raise RuntimeError("CYMBA_DATABASE_URL is set by `cymba api`, which starts the database")
    tracing = ExitStack()
    tracing.enter_context(traces.sent("cymba api"))
    # The server ends its processes by `os._exit`.
    Finalize(None, tracing.close, exitpriority=0)
    Finalize(None, log.info, ("the worker has answered all and ends",), exitpriority=1)
    engine = engine_of(settings, settings.database_url, application_name="cymba api")
    # From here on numbers are written to the folder that `cymba api` gave its processes.
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call] # ships none
    app = create_app(settings, engine, replica_of(settings, application_name="cymba api"))
    edge = Services.of(app)
    show_process(edge.metrics.registry, settings, engine)
    _set_on_signal(edge.closing)
    # In a thread of its own: a server whose other threads are all busy is still alive, and a
    # restart would cut everybody off. It ends with the process.
    health = serving(
        settings.http_host,
        settings.metrics_port,
        edge.metrics.shown(),
        edge.heartbeat.problem,
        shared=True,
    )
    _for_life.enter_context(health)
    pulse = Thread(
        target=_pulse, args=(engine, edge.heartbeat, edge.closing), name="pulse", daemon=True
    )
    pulse.start()
    _for_life.enter_context(Watchdog(edge.heartbeat))
    return app


def _pulse(engine: Engine, heartbeat: Heartbeat, closing: Event) -> None:
    """Go the way of a request every few seconds: a connection of the pool, a statement. Whether
    that works is `/readyz`'s to say; here it counts that it ends."""
    while not closing.wait(PULSE_S):
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            log.warning("the database does not answer", error=name_of(error))
        heartbeat.beat()


def _set_on_signal(closing: Event) -> None:
    """End live views when this worker is to stop, because the server waits for them.

    The server installs its own signal handlers after this, so they cannot be ours; the wake-up
    file descriptor gets every signal, whoever handles it.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)

    def wait() -> None:
        while not {signal.SIGTERM, signal.SIGINT} & set(os.read(reader, 64)):
            pass
        closing.set()

    Thread(target=wait, name="stop", daemon=True).start()
