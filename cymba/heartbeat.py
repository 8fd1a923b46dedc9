"""Signs of life of a process, and what ends one that gives none.

Every process has one heartbeat. Its `/healthz` shows it, and its watchdog ends the process where it
falls silent: compose and systemd start a process again that has ended, and none that only hangs.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable

import structlog

SILENT_S = 300.0  # without a sign of life; what lasts longest between two takes seconds
STOP_S = 8.0  # without one after SIGTERM; compose kills after 10 s
LOOK_S = 0.5
# Looks that are further apart than this mean that this process did not run: it was stopped, or its
# machine was. That says nothing of what it was about to do.
LATE_LOOK_S = 5.0
HUNG, ASKED = 1, 0  # exit statuses

log = structlog.get_logger(__name__)


class Heartbeat:
    """One for each process; every thread may give a sign of life."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, silent_s: float = SILENT_S
    ) -> None:
        self.silent_s = silent_s
        self._clock = clock
        self._beat_s = clock()
        self._trouble: str | None = None

    def beat(self) -> None:
        """Something was done."""
        self._beat_s = self._clock()

    def well(self) -> None:
        """Something was done, and what was in its way is over."""
        self._trouble = None
        self.beat()

    def troubled(self, trouble: str) -> None:
        """It lives, and cannot do its work: the database is away, say."""
        self._trouble = trouble
        self.beat()

    def age_s(self) -> float:
        """How long ago the last sign of life was."""
        return self._clock() - self._beat_s

    def problem(self) -> str | None:
        """What `/healthz` says; None if all is well."""
        age_s = self.age_s()
        if age_s > self.silent_s:
            return f"nothing was done for {age_s:.0f} s"
        return self._trouble


class Watchdog:
    """A thread that ends the process where its heartbeat falls silent, or where it should end and
    does not.

    Nothing is lost by that: what was not committed was not acknowledged, and is done again.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        *,
        stop_s: float = STOP_S,
        end: Callable[[int], object] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat = heartbeat
        self._stop_s = stop_s
        self._end = end
        self._clock = clock
        self._looked_s = self._awake_since_s = clock()
        self._asked_s: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def stopping(self) -> None:
        """The process was asked to end."""
        if self._asked_s is None:
            self._asked_s = self._clock()

    def look(self) -> tuple[int, str] | None:
        """With which status the process must end now, and why; None if it need not."""
        now_s = self._clock()
        if now_s - self._looked_s > LATE_LOOK_S:
            self._awake_since_s = now_s
        self._looked_s = now_s
        silent_s = min(self._heartbeat.age_s(), now_s - self._awake_since_s)
        if silent_s > self._heartbeat.silent_s:
            return HUNG, f"nothing was done for {silent_s:.0f} s"
        if self._asked_s is not None and min(silent_s, now_s - self._asked_s) > self._stop_s:
            return ASKED, f"asked to end, it has done nothing for {self._stop_s:.0f} s"
        return None

    def _run(self) -> None:
        while not self._over.wait(LOOK_S):
            found = self.look()
            if found is not None:
                status, why = found
                log.error("the process hangs, and ends itself", why=why)
                faulthandler.dump_traceback()  # of every thread: places alone, no values
                self._end(status)
                return
