"""The application as the HTTP server's worker loads it: settings from the environment, a pool of
its own."""

import os
import signal
from contextlib import ExitStack
from threading import Event, Thread

from flask import Flask

from cymba.database import make_engine
from cymba.settings import load
from ops import logs
from ops.metrics_server import serving
from service import create_app
from service.http.services import Services

_for_life = ExitStack()


def create() -> Flask:
    """`cymba api` has put the database's URL in the environment, also the embedded one's."""
    settings = load(os.environ)
    logs.configure(settings)
    if settings.database_url is None:
        raise RuntimeError("CYMBA_DATABASE_URL is set by `cymba api`, which starts the database")
    engine = make_engine(
        settings.database_url, pool_size=settings.database_pool_size, application_name="cymba api"
    )
    app = create_app(settings, engine)
    edge = Services.of(app)
    _set_on_signal(edge.closing)
    # In a thread of its own: a server whose other threads are all busy is still alive, and a
    # restart would cut everybody off. It ends with the process.
    health = serving(
        settings.http_host, settings.metrics_port, edge.metrics.registry, lambda: None, shared=True
    )
    _for_life.enter_context(health)
    return app


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
