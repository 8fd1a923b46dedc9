"""What a worker shows of its work: its heartbeat and its metrics."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from cymba.heartbeat import Heartbeat


class Progress:
    """One for each process. Every finished item is a sign of life, not only a round."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry = CollectorRegistry()
        self.heartbeat = Heartbeat(clock)
        self._clock = clock
        self._round_s = clock()
        self._rounds = Counter("cymba_worker_rounds", "Rounds that worked.", registry=registry)
        self._failed_rounds = Counter(
            "cymba_worker_rounds_failed", "Rounds that failed, by the error.", ["error"],
            registry=registry,
        )  # fmt: skip
        self._done = Counter("cymba_worker_items", "Items done.", ["kind"], registry=registry)
        self._set_aside = Counter(
            "cymba_worker_items_set_aside", "Times that an item was set aside.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self._waiting = Gauge(
            "cymba_worker_items_waiting", "Items that are set aside now.", ["kind"],
            registry=registry,
        )  # fmt: skip
        Gauge(
            "cymba_worker_last_round_age_seconds", "Time since the last successful round.",
            registry=registry,
        ).set_function(lambda: self._clock() - self._round_s)  # fmt: skip
        Gauge(
            "cymba_worker_silent_seconds", "Time since the last sign of life.",
            registry=registry,
        ).set_function(self.heartbeat.age_s)  # fmt: skip

    def items_done(self, kind: str, count: int) -> None:
        self._done.labels(kind).inc(count)
        self.heartbeat.beat()

    def item_set_aside(self, kind: str) -> None:
        self._set_aside.labels(kind).inc()
        self.heartbeat.beat()

    def waiting(self, kind: str, count: int) -> None:
        self._waiting.labels(kind).set(count)

    def round_done(self) -> None:
        self._rounds.inc()
        self._round_s = self._clock()
        self.heartbeat.well()

    def round_failed(self, error: str) -> None:
        """`error` is its name, which `/healthz` shows."""
        self._failed_rounds.labels(error).inc()
        self.heartbeat.troubled(f"the last round failed: {error}")
