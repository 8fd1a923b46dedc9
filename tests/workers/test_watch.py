"""The watch tells what the database knows, also while the database hangs, and whatever devices say
of themselves."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cymba.operations.devices import Backlog, RecentSessions, ReportedFirmware
from cymba.operations.queues import Queue
from tests.test_failures import failed
from workers.progress import Progress
from workers.watch import EVERY_S, FACTS, NAMES_AT_ONCE, NAMES_IN_ALL, FirmwareNames, Watch

NOW = datetime(2026, 3, 1, 14, tzinfo=UTC)


class WatchedFacts:
    """Facts as they are told, and clocks that stand until they are moved."""

    def __init__(self, engine: Engine) -> None:
        self.passed_s = 0.0
        self.reads: list[str] = []
        self.costs_s: dict[str, float] = {}
        self.values: dict[str, Any] = {"queue mails": Queue(2, NOW - timedelta(seconds=5))}
        self.failure: Exception | None = None
        self.progress = Progress(clock=lambda: self.passed_s)
        self.watch = Watch(
            engine,
            self.progress,
            clock=lambda: NOW + timedelta(seconds=self.passed_s),
            timer=lambda: self.passed_s,
            facts={name: self.reading(name) for name in self.values},
        )

    def reading(self, name: str) -> Callable[[Session, datetime], Any]:
        def read(_session: Session, _now: datetime) -> Any:
            if self.failure is not None:
                raise self.failure
            self.reads.append(name)
            self.passed_s += self.costs_s.get(name, 0.0)
            return self.values[name]

        return read

    def get(self, name: str, **labels: str) -> float | None:
        return self.progress.registry.get_sample_value(name, labels)


@pytest.fixture
def told(engine: Engine) -> WatchedFacts:
    return WatchedFacts(engine)


def test_every_fact_is_read_of_a_real_database_and_shown(engine: Engine) -> None:
    progress = Progress()
    watch = Watch(engine, progress)
    assert watch.run_once() == []
    shown = generate_latest(progress.registry).decode()
    for line in (
        'cymba_queue_waiting{queue="summaries"} 0.0',
        'cymba_queue_oldest_seconds{queue="programmes"} 0.0',
        'cymba_devices{state="suspended"} 0.0',
        "cymba_devices_backlog_frames 0.0",
        'cymba_sessions_recent{arrived="incomplete"} 0.0',
        "cymba_database_answers 1.0",
    ):
        assert line in shown
    for name in FACTS:
        assert f'cymba_fact_age_seconds{{fact="{name}"}}' in shown


def test_what_waits_grows_old_while_the_database_hangs(told: WatchedFacts) -> None:
    told.watch.run_once()
    assert told.get("cymba_queue_oldest_seconds", queue="mails") == 5
    told.passed_s = 600  # and no round ended
    assert told.get("cymba_queue_oldest_seconds", queue="mails") == 605
    assert told.get("cymba_fact_age_seconds", fact="queue mails") == 600
    assert told.get("cymba_database_answers") == 0


def test_a_database_that_does_not_answer_is_told_and_takes_no_fact_away(told: WatchedFacts) -> None:
    told.watch.run_once()
    told.failure = failed("57P01")
    told.passed_s = EVERY_S
    with pytest.raises(DBAPIError):
        told.watch.run_once()
    told.progress.round_failed("AdminShutdown 57P01")
    assert told.get("cymba_database_answers") == 0
    assert told.get("cymba_queue_waiting", queue="mails") == 2
    told.failure = None
    told.watch.run_once()
    told.progress.round_done()
    assert told.get("cymba_database_answers") == 1


def test_a_fact_that_takes_long_is_read_less_often(told: WatchedFacts) -> None:
    told.costs_s["queue mails"] = 4.0
    told.watch.run_once()
    for told.passed_s in (EVERY_S, 100.0, 199.0):
        told.watch.run_once()
    assert told.reads == ["queue mails"]
    told.passed_s = 200.0
    told.watch.run_once()
    assert len(told.reads) == 2


def test_a_fact_that_fails_stops_no_other(engine: Engine) -> None:
    def broken(_session: Session, _now: datetime) -> Any:
        raise failed("22003")

    facts = {"queue a": broken, "queue b": lambda _session, _now: Queue(3, None)}
    progress = Progress()
    watch = Watch(engine, progress, facts=facts)
    assert watch.run_once() == ["queue a"]
    found = progress.registry.get_sample_value
    assert found("cymba_queue_waiting", {"queue": "b"}) == 3
    assert found("cymba_queue_waiting", {"queue": "a"}) is None


@pytest.mark.parametrize(
    "name",
    ["", " 1.0", "x" * 41, 'a"} 1\ncymba_devices{state="online', "1.0\n", "<b>", "1.0é", "\x00"],
)
def test_a_name_that_is_no_name_is_no_label(name: str) -> None:
    assert FirmwareNames().bounded([ReportedFirmware(name, 1_000)]) == {"other": 1_000}


def test_rare_names_are_counted_together() -> None:
    told = [
        ReportedFirmware("2.1.0", 900),
        ReportedFirmware(None, 50),
        ReportedFirmware("mine", 4),
        ReportedFirmware("yours", 1),
    ]
    assert FirmwareNames().bounded(told) == {"2.1.0": 900, "unknown": 50, "other": 5}


def test_a_fleet_that_takes_new_names_all_the_time_makes_no_more_series() -> None:
    names, labels = FirmwareNames(), set()
    for scrape in range(100):
        shown = names.bounded([ReportedFirmware(f"{scrape}.{n}", 5) for n in range(50)])
        assert sum(shown.values()) == 250
        assert len(shown) <= NAMES_AT_ONCE + 1
        labels |= shown.keys()
    assert len(labels) == NAMES_IN_ALL + 1
    known = next(iter(labels - {"other"}))
    assert names.bounded([ReportedFirmware(known, 9)]) == {known: 9}


def test_all_kinds_of_facts_are_shown(engine: Engine) -> None:
    told = {
        "quarantine": {"schema": 3},
        "states": {"online": 7},
        "firmware": [ReportedFirmware("2.1.0", 7)],
        "backlog": Backlog(2, 90),
        "sessions": RecentSessions(8, 2, 1, 0.96),
    }
    facts = {name: (lambda _session, _now, value=value: value) for name, value in told.items()}
    progress = Progress()
    Watch(engine, progress, facts=facts).run_once()
    found = progress.registry.get_sample_value
    assert found("cymba_quarantine_waiting", {"code": "schema"}) == 3
    assert found("cymba_devices_by_firmware", {"firmware": "2.1.0"}) == 7
    assert found("cymba_devices_behind") == 2
    assert found("cymba_sessions_completeness") == 0.96
