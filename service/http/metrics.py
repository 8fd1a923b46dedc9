"""Prometheus metrics of the REST edge."""

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from cymba.processes import runs

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# Seconds. A page of sessions takes milliseconds, a password a tenth of a second.
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class ApiMetrics:
    """One registry for each application, so that two in one process do not mix.

    Where `cymba api` has given its processes a common folder (PROMETHEUS_MULTIPROC_DIR), each shows
    the sum of all of them: a scrape reaches any one.
    """

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
            "cymba_api_live_streams",
            "Live views that are open now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.sync_streams = Gauge(
            "cymba_api_sync_streams",
            "Streams that tell of changes and are open now.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def shown(self) -> Collector:
        """What a scrape reads."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        return self.registry if folder is None else _OfAllProcesses(Path(folder))

    def exposition(self) -> bytes:
        return generate_latest(self.shown())


class _OfAllProcesses(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        # What a process that was killed had open is closed; what it had counted stays counted.
        for pid in {int(file.stem.rpartition("_")[2]) for file in self._folder.glob("gauge_live*")}:
            if not runs(pid):
                mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        found: Iterable[Metric] = MultiProcessCollector(None, str(self._folder)).collect()  # type: ignore[no-untyped-call]
        return found
