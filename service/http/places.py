"""Concurrency limits for what holds a thread, a connection or much memory."""

from collections import Counter
from collections.abc import Callable, Hashable
from threading import Lock


class Places:
    """Counts what is open, in total and by owner. `take` never waits for a place.

    A thing may have several owners, such as the account that reads and the device it reads from.
    """

    def __init__(
        self,
        of_one: int,
        *,
        most: int | None = None,
        for_newcomers: int = 0,
        show: Callable[[int], object] = int,
    ) -> None:
        """`for_newcomers` of the `most` are for owners who have nothing open yet. `show` is given
        how many are open whenever that changes."""
        self._of_one = of_one
        self._most = most
        self._show = show
        self._for_newcomers = for_newcomers
        self._open: Counter[Hashable] = Counter()
        self._count = 0
        self._lock = Lock()

    def take(self, *owners: Hashable) -> bool:
        with self._lock:
            held = max(self._open[owner] for owner in owners)
            if held >= self._of_one:
                return False
            if self._most is not None:
                kept = self._for_newcomers if held else 0
                if self._count >= self._most - kept:
                    return False
            self._open.update(owners)
            self._count += 1
            self._show(self._count)
            return True

    def leave(self, *owners: Hashable) -> None:
        with self._lock:
            self._count -= 1
            self._show(self._count)
            for owner in owners:
                self._open[owner] -= 1
                if not self._open[owner]:
                    del self._open[owner]

    def count(self) -> int:
        with self._lock:
            return self._count
