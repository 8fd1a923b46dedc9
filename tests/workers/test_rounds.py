"""Rounds go on after any error, and a worker shows its state."""

import os
import signal
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from cymba.heartbeat import SILENT_S
from tests.collector import attributes, collecting_here
from tests.test_failures import failed
from workers import rounds
from workers.asides import Asides
from workers.progress import Progress

pytestmark = pytest.mark.usefixtures("stop_handlers")  # `repeat` takes the process's signals
ADDRESS = "ada@example.org"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "LONGEST_WAIT_S", 0.001)


def failing_then_ending(error: Exception) -> Callable[[], bool]:
    """Work that fails twice, works, and then has to stop."""
    outcomes = iter([error, error, None])

    def work() -> bool:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        os.kill(os.getpid(), signal.SIGTERM)
        return False

    return work


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    ("error", "event", "named"),
    [
        (failed("53100"), "the database does not answer", "DiskFull 53100"),
        (failed("25006"), "the database does not answer", "ReadOnlySqlTransaction 25006"),
        (ValueError(ADDRESS), "a round failed", "ValueError"),
    ],
)
def test_a_round_that_fails_is_told_of_by_name_and_ends_no_worker(
    error: Exception, event: str, named: str
) -> None:
    progress = Progress()
    with capture_logs() as logs:
        rounds.repeat(failing_then_ending(error), every_s=60, progress=progress)
    assert [(line["event"], line["error"]) for line in logs] == [(event, named)] * 2
    assert ADDRESS not in str(logs)
    sample = progress.registry.get_sample_value
    assert sample("cymba_worker_rounds_failed_total", {"error": named}) == 2
    assert sample("cymba_worker_rounds_total") == 1
    assert progress.heartbeat.problem() is None  # it is over


def test_once_says_what_went_wrong() -> None:
    with pytest.raises(ValueError, match="this"):
        rounds.repeat(
            failing_then_ending(ValueError("this")), every_s=1, once=True, progress=Progress()
        )


def test_a_worker_is_well_while_anything_gets_done() -> None:
    now_s = [0.0]
    progress = Progress(clock=lambda: now_s[0])
    assert progress.heartbeat.problem() is None
    for _ in range(10):  # one long round
        now_s[0] += SILENT_S * 0.9
        progress.items_done("session", 1)
        assert progress.heartbeat.problem() is None
    age = progress.registry.get_sample_value("cymba_worker_last_round_age_seconds")
    assert age == pytest.approx(9 * SILENT_S)
    now_s[0] += SILENT_S * 1.1
    assert "nothing was done for 330 s" in (progress.heartbeat.problem() or "")
    progress.round_failed("DiskFull 53100")
    assert progress.heartbeat.problem() == "the last round failed: DiskFull 53100"
    progress.round_done()
    assert progress.heartbeat.problem() is None
    assert progress.registry.get_sample_value("cymba_worker_last_round_age_seconds") == 0


def test_a_round_is_told_with_its_items_and_their_errors_by_name() -> None:
    progress = Progress()
    asides = Asides[str]("mail", progress)

    def work(items: Sequence[str]) -> int:
        if ADDRESS in items:
            raise ValueError(ADDRESS)
        return len(items)

    def round_() -> bool:
        asides.each([ADDRESS, "b", "c"], work, at_once=2)
        return False

    with collecting_here() as collector:
        rounds.repeat(round_, every_s=0.001, once=True, progress=progress)
        told = collector.wait_for("round")
        items = [attributes(one) for one in collector.below(told) if one.name == "mail"]
        assert items == [
            {"cymba.items": 2, "error.type": "ValueError"},
            {"cymba.items": 1, "error.type": "ValueError"},
            {"cymba.items": 1},
            {"cymba.items": 1},
        ]
        assert ADDRESS.encode() not in b"".join(collector.bodies)
