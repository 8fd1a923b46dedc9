"""Background work, which may wait for the database and the broker."""

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from cymba.failures import is_outage, is_passing, name_of
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
    """Does each chore again and again, in a thread of its own: none waits for another. One that
    fails by its own fault ends the bridge."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._stopping = threading.Event()
        self._rounds = [_Rounds(chore, self._stopping) for chore in chores]

    def start(self) -> None:
        for one in self._rounds:
            one.thread.start()

    def stop(self) -> None:
        """Unfinished work is done after the next start."""
        self._stopping.set()
        end_s = time.monotonic() + LEAVE_S
        for one in self._rounds:
            one.thread.join(max(0.0, end_s - time.monotonic()))

    def problem(self) -> str | None:
        return next(filter(None, (one.thread.problem() for one in self._rounds)), None)

    def trouble(self) -> str | None:
        """Why some of it cannot be done at the moment. They ask the database also while no frame
        comes."""
        return next(filter(None, (one.trouble() for one in self._rounds)), None)


class _Rounds:
    """Of one chore."""

    def __init__(self, chore: Chore, stopping: threading.Event) -> None:
        self._chore = chore
        self._name = type(chore).__name__
        self._stopping = stopping
        self._began_s: float | None = None
        self._failing: str | None = None
        self.thread = SupervisedThread(self._name, self._run)

    def trouble(self) -> str | None:
        if self._failing is not None:
            return self._failing
        began_s = self._began_s
        if began_s is not None and time.monotonic() - began_s > LONG_S:
            return f"{self._name} has waited for {time.monotonic() - began_s:.0f} s"
        return None

    def _run(self) -> None:
        delay_s = POLL_S
        while not self._stopping.wait(delay_s):
            delay_s = POLL_S
            try:
                self._do()
            except Exception as error:
                if not is_passing(error):
                    raise
                # What others did at the same time was in its way: by the next round it is not.
                if is_outage(error):
                    delay_s = AFTER_FAILURE_S
                    self._failing = f"the database does not answer ({name_of(error)})"
                else:
                    self._failing = f"{self._name} is tried again ({name_of(error)})"
                log.warning("a chore is tried again", chore=self._name, error=name_of(error))
            else:
                self._failing = None

    def _do(self) -> None:
        more = True
        while more and not self._stopping.is_set():
            self._began_s = time.monotonic()
            try:
                more = self._chore.do()
            finally:
                self._began_s = None
