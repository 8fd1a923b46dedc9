"""A small HTTP server in a bridge or a worker, for its metrics and health."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import click
from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SharedServer(_Server):
    """For several processes on one port: each connection goes to one of them."""

    allow_reuse_port = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Scrapes are not logged."""


@contextmanager
def serving(
    host: str,
    port: int | None,
    shown: Collector,
    problem: Callable[[], str | None],
    *,
    shared: bool = False,
) -> Iterator[None]:
    """Serve `/metrics`, and `/healthz`: 200 while `problem()` is None, else 503 with its text.

    Without a port nothing is served. `shared`: other processes serve the same on the same port.
    """
    if port is None:
        yield
        return
    show_metrics: Application = make_wsgi_app(shown)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return show_metrics(environ, start_response)
        if environ["PATH_INFO"] != "/healthz":
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics or /healthz\n"]
        trouble = problem()
        start_response(
            "503 Service Unavailable" if trouble else "200 OK",
            [("Content-Type", "text/plain; charset=utf-8")],
        )
        return [f"{trouble or 'ok'}\n".encode()]

    try:
        server = make_server(
            host,
            port,
            application,
            server_class=_SharedServer if shared else _Server,
            handler_class=_QuietHandler,
        )
    except OSError as error:
        raise click.ClickException(
            f"cannot serve metrics on {host}:{port}: {error.strerror}"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
