"""A worker's heartbeat and metrics."""

import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge

STALLED_S = 300.0  # without a round or an item; the longest item takes seconds


class Progress:
    """One for each process. Every finished item is a sign of life, not only a round."""

    def __init__(
        self, heartbeat: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`heartbeat` is a file that is touched with each sign of life."""
        self.registry = registry = CollectorRegistry()
        self._heartbeat, self._clock = heartbeat, clock
        self._alive_s = self._round_s = clock()
        self._trouble: str | None = None
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

    def items_done(self, kind: str, count: int) -> None:
        self._done.labels(kind).inc(count)
        self._beat()

    def item_set_aside(self, kind: str) -> None:
        self._set_aside.labels(kind).inc()
        self._beat()

    def waiting(self, kind: str, count: int) -> None:
        self._waiting.labels(kind).set(count)

    def round_done(self) -> None:
        self._rounds.inc()
        self._round_s, self._trouble = self._clock(), None
        self._beat()

    def round_failed(self, error: str) -> None:
        """`error` is its name, which `/healthz` shows."""
        self._failed_rounds.labels(error).inc()
        self._trouble = error

    def problem(self) -> str | None:
        """Why the worker makes no progress; None if it does."""
        if self._trouble is not None:
            return f"the last round failed: {self._trouble}"
        silent_s = self._clock() - self._alive_s
        return f"nothing was done for {silent_s:.0f} s" if silent_s > STALLED_S else None

    def _beat(self) -> None:
        self._alive_s = self._clock()
        if self._heartbeat is not None:
            self._heartbeat.touch()
