"""A process that is asked to stop."""

import os
import threading

import pytest

from cymba.stop_signals import STOP_SIGNALS, when_asked_to_stop
from tests.end_to_end.parts import PATIENCE_S


@pytest.mark.usefixtures("stop_handlers")
@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_it_is_told_also_where_the_main_thread_holds_what_the_telling_needs(number: int) -> None:
    held, told = threading.Lock(), threading.Event()

    def tell() -> None:
        with held:
            told.set()

    when_asked_to_stop(tell)
    with held:
        os.kill(os.getpid(), number)
    assert told.wait(PATIENCE_S)
