"""A process that hangs ends itself, and one that was only stopped for a while goes on."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from cymba.heartbeat import ASKED, HUNG, LATE_LOOK_S, LOOK_S, SILENT_S, STOP_S, Heartbeat, Watchdog
from tests.end_to_end.parts import PATIENCE_S, wait_until


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def heartbeat(clock: Clock) -> Heartbeat:
    return Heartbeat(clock)


@pytest.fixture
def watchdog(clock: Clock, heartbeat: Heartbeat) -> Watchdog:
    return Watchdog(heartbeat, clock=clock)


@pytest.fixture
def passes(clock: Clock, watchdog: Watchdog) -> Callable[[float], tuple[int, str] | None]:
    """So many seconds, in which the watchdog looks again and again: what it says at the end."""

    def pass_(seconds: float) -> tuple[int, str] | None:
        found = None
        for _ in range(round(seconds / LOOK_S)):
            clock.now_s += LOOK_S
            found = watchdog.look()
        return found

    return pass_


Passes = Callable[[float], tuple[int, str] | None]


def test_without_a_sign_of_life_it_ends(heartbeat: Heartbeat, passes: Passes) -> None:
    assert passes(SILENT_S - 1) is None
    heartbeat.beat()
    assert passes(SILENT_S - 1) is None
    assert passes(2) == (HUNG, "nothing was done for 301 s")
    assert heartbeat.problem() == "nothing was done for 301 s"


def test_trouble_is_a_sign_of_life(heartbeat: Heartbeat, passes: Passes) -> None:
    """A database that is away for a night restarts nothing: that would help nobody."""
    for _ in range(4):
        heartbeat.troubled("the last round failed: OperationalError")
        assert passes(SILENT_S - 1) is None
        assert heartbeat.problem() == "the last round failed: OperationalError"
    heartbeat.beat()  # an item is done, and the round may still fail
    assert heartbeat.problem() is not None
    heartbeat.well()
    assert heartbeat.problem() is None


def test_asked_to_end_it_may_finish_what_it_does_and_not_hang(
    heartbeat: Heartbeat, watchdog: Watchdog, passes: Passes
) -> None:
    assert passes(100) is None
    watchdog.stopping()
    for _ in range(5):
        assert passes(STOP_S - 1) is None
        watchdog.stopping()  # a second signal gives no more time
        heartbeat.beat()
    found = passes(STOP_S + 1)
    assert found is not None
    assert found[0] == ASKED


def test_one_that_was_silent_when_it_was_asked_has_its_time_too(
    watchdog: Watchdog, passes: Passes
) -> None:
    assert passes(100) is None
    watchdog.stopping()
    assert passes(STOP_S - 1) is None
    assert passes(2) is not None


@pytest.mark.parametrize("away_s", [LATE_LOOK_S + 1, 10 * SILENT_S])
def test_a_process_that_was_stopped_for_a_while_goes_on(
    away_s: float, clock: Clock, watchdog: Watchdog, passes: Passes
) -> None:
    """SIGSTOP, a machine that sleeps, one that is moved: what it was about to do, it does now."""
    assert passes(SILENT_S - 1) is None
    clock.now_s += away_s
    assert watchdog.look() is None
    assert passes(SILENT_S - 1) is None
    assert passes(2) is not None


def test_its_log_says_why() -> None:
    ended: list[int] = []
    heartbeat = Heartbeat(silent_s=-1.0)  # as if it had fallen silent long ago
    with capture_logs() as logs, Watchdog(heartbeat, end=ended.append):
        wait_until(lambda: bool(ended), what="it ends")
    assert ended == [HUNG]
    assert [line["event"] for line in logs] == ["the process hangs, and ends itself"]


@pytest.mark.slow
def test_a_round_that_hangs_in_anything_does_not_outlive_a_signal() -> None:
    """In a lock, here, which nothing else would end; and its places are told."""
    hanging = textwrap.dedent("""
        import threading
        from functools import partial
        from cymba.heartbeat import Watchdog
        from workers import rounds
        from workers.progress import Progress
        rounds.Watchdog = partial(Watchdog, stop_s=0.1)
        lock = threading.Lock()
        lock.acquire()
        def work_that_hangs():
            print("it hangs", flush=True)
            return lock.acquire()
        rounds.repeat(work_that_hangs, every_s=1, progress=Progress())
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", hanging], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "it hangs\n"
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == ASKED
    assert "work_that_hangs" in told
