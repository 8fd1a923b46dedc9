"""How a process is asked to stop: SIGTERM, and Ctrl-C."""

import _thread
import signal
from collections.abc import Callable

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def when_asked_to_stop(tell: Callable[[], object]) -> None:
    """Call `tell` for each of the signals, in a thread of its own; call this in the main thread.

    A handler interrupts the main thread anywhere, also where that holds the lock of the event which
    `tell` sets: the handler would wait for itself, and the process would be deaf.
    """

    def asked(*_: object) -> None:
        _thread.start_new_thread(tell, ())  # `threading` has locks of its own

    for number in STOP_SIGNALS:
        signal.signal(number, asked)
