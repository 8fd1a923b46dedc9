"""A cached answer to an expensive question."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """Asks again once the answer is older than `fresh_s`. One caller asks. The others get the last
    answer meanwhile, and wait only if there is none."""

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
