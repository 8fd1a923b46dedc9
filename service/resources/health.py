"""Liveness, readiness and metrics, for operators and load balancers."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from flask import Response

import migrations
from cymba.broker_address import BrokerAddress
from cymba.settings import Settings, SettingsError
from service.http import out
from service.http.answers import answer
from service.http.examples import example_of
from service.http.fields import Schema
from service.http.metrics import CONTENT_TYPE
from service.http.openapi import Resource
from service.http.problems import problem
from service.http.services import services
from service.http.writing import writer

blp = Resource("health", "For operators and load balancers")

TIMEOUT_S = 2
Check = Callable[[], str]


class LivenessSchema(Schema):
    status = out.text("alive", one_of=["alive"])


class ReadinessCheckSchema(Schema):
    ok = out.flag(True)
    detail = out.text("answers")
    took_ms = out.number(1.9)


class ReadinessSchema(Schema):
    status = out.text("ready", one_of=["ready"])
    checks = out.table(
        {
            "database": example_of(ReadinessCheckSchema),
            "schema": example_of(ReadinessCheckSchema, detail="at 0001", took_ms=2.4),
            "broker": example_of(ReadinessCheckSchema, detail="takes connections", took_ms=0.4),
        },
        values=ReadinessCheckSchema,
    )


_check_shown = writer(ReadinessCheckSchema)


class NotReady(Exception):
    """A check failed; the message says how, without a password in it."""


@blp.get("/healthz")
@blp.public
@blp.answers(200, LivenessSchema)
def check_alive() -> Response:
    """The process is alive and answers"""
    return answer({"status": "alive"})


@blp.get("/readyz")
@blp.public
@blp.answers(200, ReadinessSchema)
@blp.problems("not-ready")
def check_ready() -> Response:
    """Whether requests can be served: database, schema and broker, each by itself

    It is checked once a second at most. With 503 the problem's member `checks` holds the same
    per-check detail.
    """
    settings, url = services().settings, _database_url()
    checks: dict[str, Check] = {
        "database": lambda: _database(url),
        "schema": lambda: _schema(url),
        "broker": lambda: _broker(settings),
    }

    def look() -> dict[str, Any]:
        with ThreadPoolExecutor(len(checks)) as pool:
            return dict(zip(checks, pool.map(_run, checks.values()), strict=True))

    results = services().readiness.get(look)
    failed = [name for name, result in results.items() if not result["ok"]]
    if failed:
        return problem(
            "not-ready",
            f"Not good: {', '.join(failed)}.",
            headers={"Retry-After": "5"},
            checks=results,
        )
    return answer({"status": "ready", "checks": results})


@blp.get("/metrics")
@blp.public
@blp.answers(200, {"type": "string"}, content_type=CONTENT_TYPE, description="Prometheus metrics")
def show_metrics() -> Response:
    """Requests by route and status, and how long they took"""
    return Response(services().metrics.exposition(), content_type=CONTENT_TYPE)


def _run(check: Check) -> dict[str, Any]:
    began_s = time.perf_counter()
    try:
        ok, detail = True, check()
    except (NotReady, psycopg.Error, OSError) as error:
        ok, detail = False, str(error) if isinstance(error, NotReady) else type(error).__name__
    took_ms = (time.perf_counter() - began_s) * 1000
    return _check_shown({"ok": ok, "detail": detail, "took_ms": took_ms})


def _database_url() -> str:
    url = services().engine.url.set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def _connect(url: str) -> psycopg.Connection[Any]:
    # A connection of its own, because an exhausted pool is not an outage.
    return psycopg.connect(
        url, connect_timeout=TIMEOUT_S, options=f"-c statement_timeout={TIMEOUT_S}s"
    )


def _database(url: str) -> str:
    with _connect(url) as connection:
        connection.execute("SELECT 1")
    return "answers"


def _schema(url: str) -> str:
    head = migrations.head()
    with _connect(url) as connection:
        try:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            raise NotReady("no schema yet; `cymba db upgrade` makes it") from None
    current: str | None = row[0] if row else None
    if current is None or current < head:  # revisions are numbers of four digits
        raise NotReady(f"at {current}, this code needs {head}")
    # An upgrade migrates first, and the old processes must serve until they are replaced.
    return f"at {head}" if current == head else f"at {current}, ahead of this code's {head}"


def _broker(settings: Settings) -> str:
    try:
        address = BrokerAddress.of(settings)
    except SettingsError as error:
        raise NotReady(str(error)) from None
    try:
        with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
            if (tls := address.tls_context()) is not None:
                tls.wrap_socket(connection, server_hostname=address.host).close()
    except OSError as error:
        raise NotReady(f"no connection: {error.strerror or type(error).__name__}") from None
    return "takes connections"
