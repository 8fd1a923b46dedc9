"""The latest answer to a question that costs something, however many ask it."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Asks anew once the last answer is older than `fresh_s`. One asks; meanwhile others are given
    the last answer, and wait only where there is none."""

    def __init__(self, fresh_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._fresh_s = fresh_s
        self._clock = clock
        self._lock = Lock()
        self._last: tuple[float, T] | None = None

    def get(self, ask: Callable[[], T]) -> T:
        last = self._last
        if not self._lock.acquire(blocking=last is None) and last is not None:
            return last[1]
        try:
            if self._last is None or self._clock() - self._last[0] >= self._fresh_s:
                answer = ask()
                self._last = self._clock(), answer
            return self._last[1]
        finally:
            self._lock.release()
