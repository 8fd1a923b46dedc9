"""The application as the HTTP server's worker loads it: settings from the environment, a pool of
its own."""

import os
import signal
import time
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
from cymba.stop_signals import STOP_SIGNALS
from ops import logs, traces
from ops.database import engine_of, replica_of
from ops.draining import drain
from ops.metrics_server import serving
from ops.process_metrics import show_process
from service import create_app
from service.http.services import Services

PULSE_S = 5.0

log = structlog.get_logger(__name__)

_for_life = ExitStack()


def create() -> Flask:
    """`cymba api` has put the database's URL in the environment, also the embedded one's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
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
    Thread(
        target=_stop_when_asked,
        args=(edge.closing, signal.getsignal(signal.SIGTERM)),
        name="stop",
        daemon=True,
    ).start()
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


def _stop_when_asked(closing: Event, inherited: object) -> None:
    """Drain the ports, end live views, for which the server would wait, and stop the server.

    It handles signals by itself, from when it serves on. They are blocked in all of its threads,
    so they come here first, and its handler is called when it is time.
    """
    signal.sigwait(STOP_SIGNALS)
    drain()
    closing.set()
    stop_server = signal.getsignal(signal.SIGTERM)
    while stop_server is inherited or not callable(stop_server):
        time.sleep(0.01)  # it is just being started
        stop_server = signal.getsignal(signal.SIGTERM)
    stop_server(signal.SIGTERM, None)
