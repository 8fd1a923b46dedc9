"""An item that fails with any error is set aside; the others go on."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from tests.test_failures import OF_THE_ITEM, OF_THE_STATEMENT, OUTAGES, failed
from workers.asides import FIRST_WAIT, LONGEST_WAIT, Asides
from workers.progress import Progress

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class WorkerClock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


class Work:
    """Takes transactions of items, and fails where a bad one is among them."""

    def __init__(self, bad: dict[str, Exception]) -> None:
        self.bad = bad
        self.done: list[str] = []

    def __call__(self, items: Sequence[str]) -> int:
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        self.done += items
        return len(items)


class Cruel(Exception):
    def __str__(self) -> str:
        raise RuntimeError("an error whose text is an error")


CAUSES = [
    ValueError("ada@example.org"),
    MemoryError("ada@example.org"),
    RecursionError("ada@example.org"),
    Cruel(),
    *map(failed, OF_THE_ITEM + OF_THE_STATEMENT),
]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: type(cause).__name__)
@pytest.mark.parametrize("at_once", [1, 3, 10])
def test_one_bad_item_keeps_no_other_waiting(cause: Exception, at_once: int) -> None:
    work = Work({"c": cause})
    progress = Progress()
    asides = Asides[str]("letter", progress, WorkerClock())
    asides.begin_round()
    with capture_logs() as logs:
        assert asides.each("abcdefg", work, at_once=at_once) == 6
    assert sorted(work.done) == list("abdefg")
    assert asides.failed == ["c"]
    (line,) = logs
    assert line["item"] == "c"
    assert "ada@example.org" not in str(logs), "the text of an error may quote what was written"
    assert progress.registry.get_sample_value(
        "cymba_worker_items_set_aside_total", {"kind": "letter"}
    ) == 1  # fmt: skip
    assert progress.registry.get_sample_value("cymba_worker_items_total", {"kind": "letter"}) == 6


@pytest.mark.parametrize("sqlstate", OUTAGES)
def test_an_outage_sets_nothing_aside(sqlstate: str) -> None:
    asides = Asides[str]("letter", Progress(), WorkerClock())
    with pytest.raises(Exception, match=r"ada@example\.org"):
        asides.each("abc", Work({"b": failed(sqlstate)}), at_once=2)
    assert asides.waiting() == set()


def test_the_wait_doubles_up_to_an_hour_and_ends_with_success() -> None:
    clock, work = WorkerClock(), Work({"a": ValueError()})
    asides = Asides[str]("letter", Progress(), clock)
    waits = []
    for _ in range(12):
        asides.each("a", work)
        assert asides.waiting() == {"a"}
        began = clock.now
        while asides.waiting():
            asides.each("a", work)  # is not tried
            clock.now += timedelta(seconds=5)
        waits.append(clock.now - began)
    assert len(asides.failed) == 12
    assert waits[:4] == [FIRST_WAIT * 2**n for n in range(4)]
    assert waits[-1] == LONGEST_WAIT
    work.bad.clear()
    assert asides.each("a", work) == 1
    work.bad["a"] = ValueError()
    asides.each("a", work)
    clock.now += FIRST_WAIT
    assert asides.waiting() == set()


def test_what_nobody_asks_for_any_more_is_forgotten() -> None:
    clock = WorkerClock()
    asides = Asides[int]("number", Progress(), clock)
    asides.each(range(100), lambda _: 1 // 0)
    clock.now += timedelta(days=1)
    asides.begin_round()
    assert len(asides) == 0
