"""Whether a process sends traces: where the environment names a collector.

The variables are OpenTelemetry's own, which its library reads itself.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from prometheus_client import CollectorRegistry, Counter

from cymba import spans
from cymba.settings import SettingsError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

log = structlog.get_logger(__name__)


class SpanCounts:
    """What was made and not sent waits, at most as much as the queue takes, or is lost."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        about = "Spans that are to be sent to the collector."
        self.made = Counter("cymba_spans_made", about, registry=registry)
        about = "Spans that the collector took."
        self.sent = Counter("cymba_spans_sent", about, registry=registry)


counts = SpanCounts()


def show_counts(registry: CollectorRegistry) -> None:
    """In `registry` from now on."""
    global counts  # noqa: PLW0603 - one for the process, as what is recorded
    counts = SpanCounts(registry)


def are_wanted(environ: Mapping[str, str]) -> bool:
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environ.get(name) for name in ENDPOINTS)


@contextmanager
def sent(process: str) -> Iterator[None]:
    """Send what the process does as spans, if that is wanted. Open it before any engine is made."""
    if not are_wanted(os.environ):
        yield
        return
    try:
        from ops.otel import Sender  # noqa: PLC0415 - it takes time and memory, and may not be there
    except ImportError as error:
        log.warning("no traces are sent: install cymba[otel]", missing=error.name)
        yield
        return
    try:
        sender = Sender(process)
    except ValueError as error:
        raise SettingsError(f"a variable OTEL_…: {error}") from None
    spans.record_to(sender.recorder)
    try:
        yield
    finally:
        spans.record_to(None)
        sender.stop()
