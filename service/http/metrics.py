"""Prometheus metrics of the REST edge."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Seconds. A page of sessions takes milliseconds, a password a tenth of a second.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ApiMetrics:
    """One registry for each application, so that two in one process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.denied_publishes = Counter(
            "cymba_broker_publishes_denied",
            "Publishes of devices to topics that are not theirs, where the broker asks over HTTP.",
            registry=self.registry,
        )
        self.requests = Counter(
            "cymba_api_requests_total",
            "Answered requests.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "cymba_api_request_seconds",
            "Time from a request's arrival to its answer.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self.live_streams = Gauge(
            "cymba_api_live_streams", "Live views that are open now.", registry=self.registry
        )
        self.sync_streams = Gauge(
            "cymba_api_sync_streams",
            "Streams that tell of changes and are open now.",
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        return generate_latest(self.registry)
