"""A process that does round after round until it is told to stop."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError

LONGEST_WAIT_S = 30.0

log = structlog.get_logger(__name__)


def repeat(
    work: Callable[[], bool], *, every_s: float, once: bool = False, heartbeat: Path | None = None
) -> None:
    """Do `work`, which says whether there is more to do at once, every `every_s` seconds.

    Ends after a round under way at SIGTERM or Ctrl-C, or with `once` when nothing is left to do.
    While the database does not answer it waits, longer each time; with `once` that is raised.
    `heartbeat` is touched after each round that worked.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    wait_s = every_s
    while not stopping.is_set():
        try:
            more = work()
        except (OperationalError, InterfaceError):
            if once:
                raise
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            log.warning("the database does not answer", retry_s=wait_s)
            stopping.wait(wait_s)
            continue
        wait_s = every_s
        if heartbeat is not None:
            heartbeat.touch()
        if more:
            continue
        if once:
            return
        stopping.wait(every_s)
