"""A thread that the bridge watches: what ends it is kept, and then the process ends too."""

import threading
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)


class SupervisedThread:
    """Runs `work` in a thread of its own, until it returns or raises."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def problem(self) -> str | None:
        """Why it does nothing any more, if so. One that was not started yet has no problem."""
        if self.failure is not None:
            return f"the {self.name} thread failed: {self.failure!r}"
        if self._thread.ident is not None and not self._thread.is_alive():
            return f"the {self.name} thread has ended"
        return None

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came, and without a failure."""
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self.failure is None

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # whatever it is, it is kept for `problem`
            self.failure = error
            log.exception("a thread failed", thread=self.name)
