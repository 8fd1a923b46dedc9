"""A thread for background work, which may wait for the database and the broker."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from cymba.failures import is_passing, name_of
from mqtt_bridge.supervised import SupervisedThread

POLL_S = 0.5
AFTER_FAILURE_S = 5.0
LEAVE_S = 12.0
LONG_S = 15.0  # of a round; the broker may take ten seconds to confirm what is published
log = structlog.get_logger(__name__)


class Chore(Protocol):
    def do(self) -> bool:
        """Do what is due. True if there is more."""
        ...


class Chores:
    """Does each chore again and again. One that fails by its own fault ends the bridge."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._stopping = threading.Event()
        self._began_s: float | None = None
        self._failing: str | None = None
        self._thread = SupervisedThread("chores", self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Unfinished work is done after the next start."""
        self._stopping.set()
        self._thread.join(LEAVE_S)

    def problem(self) -> str | None:
        return self._thread.problem()

    def trouble(self) -> str | None:
        """Why nothing of it can be done at the moment. They ask the database also while no frame
        comes."""
        if self._failing is not None:
            return f"the database does not answer ({self._failing})"
        began_s = self._began_s
        if began_s is not None and time.monotonic() - began_s > LONG_S:
            return f"the chores have waited for {time.monotonic() - began_s:.0f} s"
        return None

    def _run(self) -> None:
        delay_s = POLL_S
        while not self._stopping.wait(delay_s):
            delay_s = POLL_S
            try:
                for chore in self._chores:
                    self._do(chore)
            except Exception as error:
                if not is_passing(error):
                    raise
                delay_s = AFTER_FAILURE_S
                self._failing = name_of(error)
                log.warning("the database does not answer", error=self._failing)
            else:
                self._failing = None

    def _do(self, chore: Chore) -> None:
        more = True
        while more and not self._stopping.is_set():
            self._began_s = time.monotonic()
            try:
                more = chore.do()
            finally:
                self._began_s = None
