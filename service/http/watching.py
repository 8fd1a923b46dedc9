"""Tells the streams of a process that accounts have changed.

All of them together ask the database once in `POLL_S`, by one statement, and nobody asks while
there is none. A notification by PostgreSQL would come sooner, and cost each commit a lock that all
share.
"""

from collections import Counter
from collections.abc import Mapping
from threading import Lock

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import sessionmaker

from cymba.database import UnitOfWork
from cymba.failures import is_passing, name_of
from cymba.sync.watching import Mark, Watcher, read_marks
from service.http.latest import Latest

POLL_S = 1.0
Marks = Mapping[Watcher, Mark | None]

_log = structlog.get_logger(__name__)


class Watching:
    def __init__(self, sessions: sessionmaker[UnitOfWork], poll_s: float = POLL_S) -> None:
        self._sessions = sessions
        self._latest = Latest[Marks](poll_s)
        self._watchers: Counter[Watcher] = Counter()
        self._last: Marks = {}
        self._lock = Lock()

    def begin(self, watcher: Watcher) -> None:
        with self._lock:
            self._watchers[watcher] += 1

    def end(self, watcher: Watcher) -> None:
        with self._lock:
            self._watchers[watcher] -= 1
            if not self._watchers[watcher]:
                del self._watchers[watcher]

    def marks(self) -> Marks:
        """Of everybody who watches, as they were at most `POLL_S` ago. Who began since is missing.

        While the database does not answer, nothing is known to have changed.
        """
        return self._latest.get(self._read)

    def _read(self) -> Marks:
        with self._lock:
            watchers = set(self._watchers)
        try:
            with self._sessions.begin() as session:
                self._last = read_marks(session, watchers)
        except (DBAPIError, PoolTimeout) as error:
            if not is_passing(error):
                raise
            _log.warning("the database does not say what has changed", error=name_of(error))
        return self._last
