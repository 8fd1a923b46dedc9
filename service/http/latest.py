"""The latest answer to a question that costs something, however many ask it."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Asks anew once the last answer is older than `fresh_s`: one asks, and others wait for it."""

    def __init__(self, fresh_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = Lock()
        self._last: tuple[float, T] | None = None

    def get(self, ask: Callable[[], T]) -> T:
        with self._lock:
            if self._last is None or self._clock() - self._last[0] >= self._fresh_s:
                answer = ask()
                self._last = self._clock(), answer
            return self._last[1]
