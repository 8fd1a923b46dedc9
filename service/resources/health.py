"""Liveness, readiness and metrics, for operators and load balancers."""

import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from flask import Response
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import migrations
from cymba.broker_address import BrokerAddress
from cymba.failures import name_of
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

TIMEOUT_S = 2.0  # of a check
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

    It is checked once a second at most, over the connections that requests use. A check without an
    answer within two seconds has failed. With 503 the problem's member `checks` holds the same
    per-check detail.
    """
    at = services()
    checks: dict[str, Check] = {
        "database": partial(_database, at.engine),
        "schema": partial(_schema, at.engine),
        "broker": partial(_broker, at.settings),
    }

    def look() -> dict[str, Any]:
        asked = {name: at.asking.begin(name, partial(_run, one)) for name, one in checks.items()}
        end_s = time.monotonic() + TIMEOUT_S
        found = {name: one.answer(end_s - time.monotonic()) for name, one in asked.items()}
        return {name: _SILENT if one is None else one for name, one in found.items()}

    results = at.readiness.get(look)
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
    except NotReady as error:
        ok, detail = False, str(error)
    except (DBAPIError, PoolTimeout) as error:
        ok, detail = False, name_of(error)
    took_ms = (time.perf_counter() - began_s) * 1000
    return _check_shown({"ok": ok, "detail": detail, "took_ms": took_ms})


_SILENT = _check_shown(
    {"ok": False, "detail": f"no answer within {TIMEOUT_S:g} s", "took_ms": TIMEOUT_S * 1000}
)


def _database(engine: Engine) -> str:
    with engine.connect() as connection:
        takes_no_writes = connection.scalar(text("SELECT current_setting('transaction_read_only')"))
    if takes_no_writes == "on":
        engine.dispose()  # what the URL leads to may be another server by now
        raise NotReady("takes no writes: a standby, or set to read-only")
    return "answers"


def _schema(engine: Engine) -> str:
    head = migrations.head()
    with engine.connect() as connection:
        try:
            current = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg.errors.UndefinedTable):
                raise
            raise NotReady("no schema yet; `cymba db upgrade` makes it") from None
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
