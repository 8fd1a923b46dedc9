"""Places for live views: each holds a thread of the server as long as it is open."""

from collections import Counter
from threading import Lock
from uuid import UUID

STREAMS_OF_ONE_ACCOUNT = 4


class StreamPlaces:
    """How many live views (or archives) are open, in all and of each account."""

    def __init__(self, most: int, *, of_one_account: int = STREAMS_OF_ONE_ACCOUNT) -> None:
        self._most = most
        self._of_one_account = of_one_account
        self._open: Counter[UUID] = Counter()
        self._lock = Lock()

    def take(self, account_id: UUID) -> bool:
        with self._lock:
            if self._open.total() >= self._most:
                return False
            if self._open[account_id] >= self._of_one_account:
                return False
            self._open[account_id] += 1
            return True

    def leave(self, account_id: UUID) -> None:
        with self._lock:
            self._open[account_id] -= 1
            if not self._open[account_id]:
                del self._open[account_id]

    def count(self) -> int:
        with self._lock:
            return self._open.total()
