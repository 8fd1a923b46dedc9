"""The loop of a worker process."""

import gc
import threading
from collections.abc import Callable

import structlog

from cymba import spans
from cymba.failures import is_outage, name_of, place_of
from cymba.heartbeat import Watchdog
from cymba.stop_signals import when_asked_to_stop
from workers.progress import Progress

LONGEST_WAIT_S = 30.0

log = structlog.get_logger(__name__)


def repeat(
    work: Callable[[], bool], *, every_s: float, once: bool = False, progress: Progress
) -> None:
    """Call `work` every `every_s` seconds, and again at once if it returns True.

    SIGTERM and Ctrl-C end it after the round under way, which the watchdog waits for so long and no
    longer. With `once` it ends when nothing is left to do. After a failed round it waits with
    backoff; with `once` the error is raised.
    """
    stopping, watchdog = threading.Event(), Watchdog(progress.heartbeat)

    def stop() -> None:
        stopping.set()
        watchdog.stopping()

    when_asked_to_stop(stop)
    gc.freeze()  # loaded modules are not collected: a full collection of them takes 80 ms
    with watchdog:
        repeat_until(stopping, work, every_s=every_s, once=once, progress=progress)


def repeat_until(
    stopping: threading.Event,
    work: Callable[[], bool],
    *,
    every_s: float,
    once: bool = False,
    progress: Progress,
) -> None:
    """`repeat` as a thread may have it: no signal ends it, and no watchdog."""
    wait_s = every_s
    while not stopping.is_set():
        try:
            with spans.span("round"):
                more = work()
        except Exception as error:
            if once:
                raise
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            name = name_of(error)
            progress.round_failed(name)
            if is_outage(error):
                log.warning("the database does not answer", error=name, retry_s=wait_s)
            else:
                # Without the error's text, which may quote what was written.
                log.error("a round failed", error=name, at=place_of(error), retry_s=wait_s)  # noqa: TRY400
            stopping.wait(wait_s)
            continue
        wait_s = every_s
        progress.round_done()
        if more:
            continue
        if once:
            return
        stopping.wait(every_s)
