"""What findings cost end to end: all pairs of two years, and one new diary entry.

python -m benchmarks.bench_findings

The floor is numpy.linalg.qr of the same nuisance matrices alone, one for each outcome and lag and
look; what is above it is estimates, tests, grades, days and the database.
"""

import gc
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from benchmarks.bench_insights import best_ms
from cymba.database import UnitOfWork, make_engine
from cymba.diary.entries import DiaryEntries
from cymba.insights import findings
from cymba.insights.analysis import analyse
from cymba.insights.inputs import load_days
from cymba.insights.pairs import load_pair
from cymba.insights.pictures import LIGHT, picture_of_pair
from cymba.insights.statistics import MILESTONES, complete_pairs
from cymba.insights.statistics.arrays import Floats
from cymba.insights.statistics.nuisance import Calendar
from cymba.tables import metadata
from cymba.voice import Voice
from ops import postgres
from simulator.people import World
from tests.insights.people import enrol, live_in_database
from workers.insights import InsightsWorker

KEY = Ed25519PrivateKey.generate()
DAYS = 730
FIRST_DAY = date(2025, 1, 1)
ENTRIES = 10


def matrices(engine: Engine, account_id: UUID) -> list[Floats]:
    """The nuisance of each outcome and lag at each milestone that its pairs have reached."""
    with UnitOfWork(engine) as session:
        days, _, outcomes = load_days(session, account_id)
    calendar, found = Calendar(days.weekdays), []
    for lag in (0, 1, 2, 3):
        felt = days.mornings if lag else days.same_day
        complete = complete_pairs(days.exposures[:1], felt, days.before, lag)
        for o in range(len(outcomes)):
            rows = np.flatnonzero(complete[o, 0])
            for milestone in (m for m in MILESTONES if m <= rows.size):
                first = rows[:milestone]
                found.append(calendar.nuisance(first, days.before[o, first - lag]))
    return found


class Taken(NamedTuple):
    """By the clock, with what the database takes, and in CPU time of this process."""

    ms: float
    cpu_ms: float


def round_taken(engine: Engine) -> Taken:
    """One round of the worker, which refreshes the one account."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    done = InsightsWorker(engine).run_once()
    assert done.refreshed == 1
    return Taken((time.perf_counter() - began_s) * 1000, (time.process_time() - began_cpu_s) * 1000)


def one_entry(engine: Engine, account_id: UUID, number: int) -> Taken:
    """From the diary entry that was just committed to the findings that are."""
    felt_at = datetime(2026, 12, 31, 6, tzinfo=UTC) + timedelta(minutes=number)
    fields = {"felt_at": felt_at, "time_zone": "Europe/Berlin", "items.pain_now": number % 10}
    with UnitOfWork(engine) as session, session.begin():
        written = uuid4()
        later = felt_at + timedelta(hours=1)
        DiaryEntries(KEY).put(session, account_id, written, fields, match=lambda _: None, now=later)
    return round_taken(engine)


def _measure(engine: Engine) -> None:
    with UnitOfWork(engine) as session, session.begin():
        account_id = enrol(session)
        world = World(days=DAYS, effect=-1.0)
        live_in_database(session, account_id, world, seed=1, first_day=FIRST_DAY)
    floor_of = matrices(engine, account_id)
    floor = best_ms(lambda: [np.linalg.qr(matrix) for matrix in floor_of])
    with UnitOfWork(engine) as session:
        days, exposures, outcomes = load_days(session, account_id)
        read = best_ms(lambda: _fresh(engine, lambda fresh: load_days(fresh, account_id)))
    pairs = len(exposures) * len(outcomes) * 4
    analysed = best_ms(lambda: analyse(days, exposures, outcomes))
    gc.freeze()  # as the worker's process does
    first = round_taken(engine)
    each = [one_entry(engine, account_id, number) for number in range(ENTRIES)]
    entry_ms, entry_cpu_ms = (sorted(column)[ENTRIES // 2] for column in zip(*each, strict=True))
    with UnitOfWork(engine) as session:
        stored = len(findings.mine(session, account_id))
        view = load_pair(session, account_id, "charge", "pain_now")
    picture = picture_of_pair(view, Voice.of("en"))
    print(
        f"One person, {DAYS} days, {len(exposures)} exposures x {len(outcomes)} outcomes x 4 lags"
    )
    print(f"= {pairs} pairs, {stored} findings, every look from 28 pairs on; one core, best of 15")
    print(f"(the first round once, an entry the median of {ENTRIES}). CPU of this process, but")
    print("where the row says by the clock: there the database's work is in it.\n")
    print("| what | ms | of the floor |\n|---|---|---|")
    for name, taken in (
        (f"floor: numpy.linalg.qr of the same {len(floor_of)} matrices", floor),
        ("reading and building the days", read),
        ("all pairs through all looks to their grades", analysed),
        ("first round of the worker", first.cpu_ms),
        ("first round of the worker, by the clock", first.ms),
        ("one new diary entry, commit to findings", entry_cpu_ms),
        ("one new diary entry, commit to findings, by the clock", entry_ms),
        ("a pair's picture as SVG", best_ms(lambda: picture.svg(LIGHT))),
        ("a pair's picture as PNG", best_ms(lambda: picture.png(LIGHT))),
    ):
        print(f"| {name} | {taken:.1f} | {taken / floor:.1f} |")


def _fresh(engine: Engine, work: Callable[[Session], object]) -> None:
    with UnitOfWork(engine) as session:
        work(session)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        try:
            engine = make_engine(server.url)
            metadata.create_all(engine)
            _measure(engine)
            engine.dispose()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
