"""A collector of traces, which keeps what it is sent as it came."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from unittest.mock import patch

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ops import traces
from tests.end_to_end.parts import wait_until


class Collector:
    def __init__(self, url: str) -> None:
        self.environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "20"}
        self.bodies: list[bytes] = []

    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in tuple(self.bodies)]

    def spans(self) -> list[Span]:
        """Of all processes, in the order of their ends."""
        return [
            span
            for request in self.requests()
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def processes(self) -> set[str]:
        return {
            one.value.string_value
            for request in self.requests()
            for resource in request.resource_spans
            for one in resource.resource.attributes
            if one.key == "service.name"
        }

    def wait_for(self, name: str) -> Span:
        """The first span of that name."""
        self.wait_for_all({name})
        return next(span for span in self.spans() if span.name == name)

    def wait_for_all(self, names: set[str]) -> None:
        wait_until(
            lambda: names <= {span.name for span in self.spans()},
            what=lambda: f"spans {names}; there are {[span.name for span in self.spans()]}",
        )

    def below(self, parent: Span) -> list[Span]:
        return [
            span
            for span in self.spans()
            if (span.trace_id, span.parent_span_id) == (parent.trace_id, parent.span_id)
        ]


def attributes(span: Span) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in span.attributes
    }


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield collector
        server.shutdown()


@contextmanager
def collecting_here() -> Iterator[Collector]:
    """From this process. Engines that are made meanwhile tell of their statements."""
    with (
        collecting() as collector,
        patch.dict(os.environ, collector.environ),
        traces.sent("cymba test"),
    ):
        yield collector
