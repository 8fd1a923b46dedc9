"""Spans sent by OpenTelemetry, over OTLP and HTTP. `ops.traces` imports this where it is wanted.

They wait in a bounded queue for a thread that sends them; what does not fit is dropped, and so is
what the collector does not take. One that is away, or that never answers, holds up nothing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from threading import Thread

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult, SpanProcessor
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cymba.failures import name_of
from cymba.spans import RequestSpan
from cymba.tables import metadata
from ops import traces

STOP_S = 1.0  # for the last spans, once the process has ended its work

_HEADER = "traceparent"
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_ROOT = Context()
_NOTHING = nullcontext()


class Sender:
    def __init__(self, process: str, processor: SpanProcessor | None = None) -> None:
        """`processor`: in place of the one that sends to where the environment says."""
        resource = Resource.create()
        own = {"cymba.process": process}
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            own["service.name"] = process  # OTEL_SERVICE_NAME says nothing else
        resource = resource.merge(Resource(own))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor or _CountingProcessor(_CountingExporter()))
        self.recorder = OpenTelemetry(self._provider.get_tracer("cymba"))

    def stop(self) -> None:
        """Send what waits, for a moment: the library waits much longer for a collector that does
        not answer."""
        last = Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(STOP_S)


class _CountingProcessor(BatchSpanProcessor):  # type: ignore[misc] # it may not be installed
    def on_end(self, span: ReadableSpan) -> None:
        traces.counts.made.inc()
        super().on_end(span)


class _CountingExporter(OTLPSpanExporter):  # type: ignore[misc] # ditto
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            traces.counts.sent.inc(len(spans))
        return result


class OpenTelemetry:
    """Makes spans of what `cymba.spans` is told."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def span(self, name: str, under: Context | None, counts: Mapping[str, int]) -> Iterator[None]:
        opened = self._tracer.start_span(
            name, under, attributes={f"cymba.{what}": count for what, count in counts.items()}
        )
        token = attach(set_span_in_context(opened, under))
        try:
            with _ended(opened):
                yield
        finally:
            detach(token)

    def statement(self, sql: str) -> AbstractContextManager[None]:
        if not get_current_span().is_recording():
            return _NOTHING
        summary = summary_of(sql)
        attributes = {
            "db.system.name": "postgresql",
            "db.operation.name": summary.partition(" ")[0],
            "db.query.summary": summary,
        }
        return _ended(self._tracer.start_span(summary, kind=SpanKind.CLIENT, attributes=attributes))

    def request(self, method: str, route: str, traceparent: str | None) -> RequestSpan:
        # Without `tracestate` and `baggage`, which hold whatever the client likes.
        given = {} if traceparent is None else {_HEADER: traceparent}
        return _OpenRequest(
            self._tracer.start_span(
                f"{method} {route}",
                _TRACE_CONTEXT.extract(given, context=_ROOT),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method, "http.route": route},
            )
        )

    def here(self) -> Context:
        return get_current()


class _OpenRequest:
    def __init__(self, opened: Span) -> None:
        self.trace_id = f"{opened.get_span_context().trace_id:032x}"
        self._opened = opened
        self._token = attach(set_span_in_context(opened, _ROOT))

    def end(self, status: int | None = None) -> None:
        if self._token is None:
            return
        detach(self._token)
        self._token = None
        if status is not None:
            self._opened.set_attribute("http.response.status_code", status)
        if status is None or status >= 500:
            _failed(self._opened, "no answer" if status is None else str(status))
        self._opened.end()


@contextmanager
def _ended(opened: Span) -> Iterator[None]:
    """Without the text of an error, which may quote what was written."""
    try:
        yield
    except Exception as error:
        _failed(opened, name_of(error))
        raise
    finally:
        opened.end()


def _failed(opened: Span, error: str) -> None:
    opened.set_attribute("error.type", error)
    opened.set_status(StatusCode.ERROR)


_TABLES = frozenset(metadata.tables)
_MOST_TABLES = 4
_WRITES = {"INSERT INTO": "INSERT", "UPDATE": "UPDATE", "DELETE FROM": "DELETE"}
_OTHERS = frozenset(
    {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "SAVEPOINT", "RELEASE", "ROLLBACK", "SET"}
    | {"SHOW", "LOCK", "COMMIT"}
)
_OF_TABLE = re.compile(r'\b(INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN)\s+"?(\w+)', re.IGNORECASE)
_FIRST_WORD = re.compile(r"\s*(\w*)")


@lru_cache(512)
def summary_of(sql: str) -> str:
    """`INSERT frame flash_store`: the operation, what it writes, what it reads.

    The text may hold values, so nothing is taken from it but words that are known here.
    """
    found = [(verb.upper(), table) for verb, table in _OF_TABLE.findall(sql) if table in _TABLES]
    found.sort(key=lambda one: one[0] not in _WRITES)
    if found:
        operation = _WRITES.get(found[0][0], "SELECT")
        return " ".join([operation, *dict.fromkeys(table for _, table in found[:_MOST_TABLES])])
    first = _FIRST_WORD.match(sql)
    word = "" if first is None else first[1].upper()
    return word if word in _OTHERS else "statement"
