"""Around every request: its id, its line in the log, its numbers in the metrics.

No path, query, body, token or e-mail address is logged: the route's template says where it went.
"""

import re
import time
from uuid import uuid4

import structlog
from flask import Flask, Response, g, request

from service.http.services import services

_GIVEN_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds, by machines
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_log = structlog.get_logger(__name__)


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def route() -> str:
    """The template of the route, such as `/v1/sessions/<uuid:session_id>`."""
    return request.url_rule.rule if request.url_rule is not None else "unmatched"


def _begin() -> None:
    g.started_s = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _GIVEN_ID.fullmatch(given) else uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _finish(response: Response) -> Response:
    took_s = time.perf_counter() - g.started_s
    where = route()
    method = request.method if request.method in _METHODS else "other"
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
    return response
