"""Around every request: its id, its line in the log, its numbers in the metrics, its span.

No path, query, body, token or e-mail address is logged: the route's template says where it went.
"""

import re
import time
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

from cymba import spans
from service.http.services import services

_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds, by machines
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_leave)


def route() -> str:
    """The template of the route, such as `/v1/sessions/<uuid:session_id>`."""
    return request.url_rule.rule if request.url_rule is not None else "unmatched"


def _begin() -> None:
    g.started_s = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _GIVEN_ID.fullmatch(given) else uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)
    where = route()
    if where not in _QUIET:
        # The span of a stream ends where its answer begins: a live view is open for hours.
        g.span = spans.request(_method(), where, request.headers.get("traceparent"))
        if g.span is not None:
            structlog.contextvars.bind_contextvars(trace_id=g.span.trace_id)


def _method() -> str:
    return request.method if request.method in _METHODS else "other"


def _finish(response: Response) -> Response:
    took_s = time.perf_counter() - g.started_s
    where = route()
    method = _method()
    metrics = services().metrics
    metrics.requests.labels(method, where, str(response.status_code)).inc()
    metrics.seconds.labels(method, where).observe(took_s)
    response.headers["X-Request-Id"] = g.request_id
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    # If a browser shows an answer, nothing in it runs and no page frames it.
    response.headers.setdefault(
        "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"
    )
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")
    if where not in _QUIET:
        _log.info(
            "request",
            method=method,
            route=where,
            status=response.status_code,
            duration_ms=round(took_s * 1000, 1),
        )
    _end_span(response.status_code)
    return response


def _leave(_error: BaseException | None) -> None:
    """Where `_finish` was not reached, too."""
    _end_span(None)


def _end_span(status: int | None) -> None:
    span: spans.RequestSpan | None = g.get("span")
    if span is not None:
        span.end(status)
