"""The watch: it reads the facts that are the database's own, and shows them to Prometheus.

One process tells them, so that no sum counts them twice. What it has read grows old by the clock:
while the database hangs, the age of what waits grows at each scrape.
"""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from cymba.accounts import audit
from cymba.database import UnitOfWork, utc_now
from cymba.operations import devices, queues
from cymba.operations.devices import ReportedFirmware
from workers.asides import Asides
from workers.progress import Progress

EVERY_S = 10.0
# A fact that takes long is read less often: it costs the database a fiftieth of one connection.
TIMES_ITS_COST = 50
# Devices report what firmware they like, and each name is a series that Prometheus keeps for ever.
DEVICES_OF_A_NAME = 5  # have to report it
NAMES_AT_ONCE, NAMES_IN_ALL = 20, 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}")
OTHERS, UNTOLD = "other", "unknown"

Read = Callable[[Session, datetime], Any]
FACTS: dict[str, Read] = {f"queue {name}": read for name, read in queues.QUEUES.items()} | {
    "quarantine": queues.quarantine,
    "states": devices.by_state,
    "firmware": devices.by_firmware,
    "backlog": devices.backlog,
    "sessions": devices.recent_sessions,
    "audit months": audit.made_months,
}


class Watch(Collector):
    """A worker whose items are facts; it is also what a scrape reads."""

    def __init__(
        self,
        engine: Engine,
        progress: Progress,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
        *,
        every_s: float = EVERY_S,
        facts: Mapping[str, Read] = FACTS,
    ) -> None:
        self._engine, self._clock, self._timer, self._every_s = engine, clock, timer, every_s
        self._facts = facts
        self._progress = progress
        self._asides = Asides[str]("fact", progress, clock)
        self._due_s = dict.fromkeys(facts, timer())
        self._known: dict[str, tuple[datetime, Any]] = {}
        self._firmwares = FirmwareNames()
        progress.registry.register(self)

    def run_once(self) -> list[str]:
        """Read the facts that are due. Return the names of those that failed.

        Raises:
            sqlalchemy.exc.DBAPIError: the database cannot be spoken to.
        """
        self._asides.begin_round()
        due = [name for name, due_s in self._due_s.items() if due_s <= self._timer()]
        self._asides.each(due, self._read)
        return self._asides.failed

    def _read(self, names: Sequence[str]) -> int:
        (name,) = names
        began_s, now = self._timer(), self._clock()
        with UnitOfWork(self._engine) as session, session.begin():
            self._known[name] = now, self._facts[name](session, now)
        took_s = self._timer() - began_s
        self._due_s[name] = began_s + max(self._every_s, TIMES_ITS_COST * took_s)
        return 1

    def collect(self) -> Iterable[Metric]:
        now, known = self._clock(), dict(self._known)
        answers = GaugeMetricFamily(
            "cymba_database_answers", "1 while the database answers what is asked of it."
        )
        answers.add_metric([], self._progress.heartbeat.problem() is None)
        ages = GaugeMetricFamily(
            "cymba_fact_age_seconds", "How long ago a fact was read.", labels=["fact"]
        )
        waiting = GaugeMetricFamily(
            "cymba_queue_waiting", "What waits for a process, by queue.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "cymba_queue_oldest_seconds", "How long the oldest has waited.", labels=["queue"]
        )
        for name, (at, fact) in known.items():
            ages.add_metric([name], max(0.0, (now - at).total_seconds()))
            if name.startswith("queue "):
                waiting.add_metric([name.removeprefix("queue ")], fact.waiting)
                oldest.add_metric([name.removeprefix("queue ")], fact.oldest_s(now))
            else:
                yield from self._shown(name, fact)
        yield from (answers, ages, waiting, oldest)

    def _shown(self, name: str, fact: Any) -> Iterable[Metric]:
        match name:
            case "quarantine":
                about = "Frames in quarantine that wait for a replay, by code."
                yield _by("cymba_quarantine_waiting", about, "code", fact)
            case "states":
                yield _by("cymba_devices", "Devices by state.", "state", fact)
            case "firmware":
                about = "Devices by the firmware that they report; rare names are `other`."
                by_name = self._firmwares.bounded(fact)
                yield _by("cymba_devices_by_firmware", about, "firmware", by_name)
            case "backlog":
                about = "Devices that hold frames which are not here, by their own word."
                yield GaugeMetricFamily("cymba_devices_behind", about, fact.devices)
                about = "Frames that they hold."
                yield GaugeMetricFamily("cymba_devices_backlog_frames", about, fact.frames)
            case "replica":
                about = "1 while the replica answers as one that replays the log of a primary."
                yield GaugeMetricFamily("cymba_replica_answers", about, fact.answers)
                about = "Since when the replica lacks something that the primary has."
                yield GaugeMetricFamily("cymba_replica_lag_seconds", about, fact.behind.s)
                if fact.behind.bytes is not None:
                    about = "How much of the primary's log the replica has not replayed."
                    yield GaugeMetricFamily("cymba_replica_lag_bytes", about, fact.behind.bytes)
            case "archive" if fact is not None:
                about = "Since when the archive of the log lacks a segment that has ended."
                yield GaugeMetricFamily("cymba_archive_lag_seconds", about, fact.s)
                about = "How much of the log the archive lacks, in segments that have ended."
                yield GaugeMetricFamily("cymba_archive_lag_bytes", about, fact.bytes)
            case "sessions":
                about = "Sessions of the last day, by how much of them is here."
                parts = {name: getattr(fact, name) for name in ("complete", "incomplete", "open")}
                yield _by("cymba_sessions_recent", about, "arrived", parts)
                if fact.share is not None:
                    about = "Mean share of their frames that is here."
                    yield GaugeMetricFamily("cymba_sessions_completeness", about, fact.share)
            case "audit months":
                about = "Time until the months end that the audit log has parts for."
                left_s = (fact.until - self._clock()).total_seconds()
                yield GaugeMetricFamily("cymba_audit_months_left_seconds", about, left_s)
                about = "Entries of the audit log that are in no part of one month."
                yield GaugeMetricFamily("cymba_audit_entries_outside", about, fact.outside)


def _by(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


class FirmwareNames:
    """Which names become labels: those of several devices, a few at once, and not ever new ones."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def bounded(self, firmwares: Sequence[ReportedFirmware]) -> dict[str, int]:
        shown: dict[str, int] = {}
        for name, count in firmwares:
            label = UNTOLD if name is None else self._label(name, count, len(shown))
            shown[label] = shown.get(label, 0) + count
        return shown

    def _label(self, name: str, count: int, shown: int) -> str:
        if count < DEVICES_OF_A_NAME or shown >= NAMES_AT_ONCE or not _NAME.fullmatch(name):
            return OTHERS
        if name not in self._seen and len(self._seen) >= NAMES_IN_ALL:
            return OTHERS
        self._seen.add(name)
        return name
