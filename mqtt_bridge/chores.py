"""A thread for background work, which may wait for the database and the broker."""

import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from cymba.failures import is_passing, name_of
from mqtt_bridge.supervised import SupervisedThread

POLL_S = 0.5
AFTER_FAILURE_S = 5.0
LEAVE_S = 12.0
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
        self._thread = SupervisedThread("chores", self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Unfinished work is done after the next start."""
        self._stopping.set()
        self._thread.join(LEAVE_S)

    def problem(self) -> str | None:
        return self._thread.problem()

    def _run(self) -> None:
        delay_s = POLL_S
        while not self._stopping.wait(delay_s):
            delay_s = POLL_S
            try:
                for chore in self._chores:
                    while chore.do() and not self._stopping.is_set():
                        pass
            except Exception as error:
                if not is_passing(error):
                    raise
                delay_s = AFTER_FAILURE_S
                log.warning("the database does not answer", error=name_of(error))
