"""Each hot request of one person, where 100,000 people are beside them and where 100 are.

    nice python -m benchmarks.bench_scale [--people 100000] [--times 1000]

Two databases on one PostgreSQL, with an application each: everybody in them has a device, ten
sessions, of which one is open, a diary and findings. The two take turns at each request, so that
what else the machine does falls on both alike. Every request is of another person, as it is in
life, so the pages that it needs are those of nobody before. Beside the times stands the processors'
time of a request, of the application and of its database's connections.
"""

import argparse
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from wsgiref.types import WSGIEnvironment

import numpy as np
import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, text
from werkzeug.test import EnvironBuilder

from benchmarks.bench_api import cpu_s
from benchmarks.recorded_people import KEPT, begin_at, fill
from cymba.accounts.tokens import sign_in
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.provisioning import provision
from cymba.settings import Settings
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.wire.messages import SamplesFrame, to_json
from ops import logs, postgres
from ops.postgres import EmbeddedPostgres
from service import create_app
from tests.kept_database import at_database
from tests.many_people import SESSION_SEQS
from workers.session_worker import SessionWorker

FEW = 100
MOST = 1.3  # times as long beside many as beside few
WARM = 20  # requests before those that count
BATCH = 20  # frames, each of another device
SERVER = {"shared_buffers": "2GB", "max_wal_size": "8GB", "random_page_cost": "1.1"}
PEOPLE = """
SELECT t.account_id, t.device_id, s.id FROM device_tenure AS t
JOIN stimulation_session AS s ON s.device_id = t.device_id
WHERE t.device_id = ANY(:devices) AND s.started_at = :at
"""
LINES = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend'
"""


class Asker(NamedTuple):
    device_id: str
    bearer: dict[str, str]
    session_id: UUID  # of the last that is recorded
    open_id: UUID
    cursor: str


class ScaledWorld:
    """A database, its application, and people who ask it in turn."""

    def __init__(self, url: str, people: int, folder: Path, times: int) -> None:
        self.engine = make_engine(url)
        began_s = time.monotonic()
        fill(self.engine, people)
        print(f"{people:,} people: {size_mb(self.engine):,} MB, made in "
              f"{time.monotonic() - began_s:.0f} s", flush=True)  # fmt: skip
        settings = Settings(data_dir=folder, log_level="error", access_token_seconds=86_400)
        logs.configure(settings)
        self.app = create_app(settings, self.engine)
        self.worker = SessionWorker(self.engine, settings)
        numbers = random.Random(1).sample(range(1, people + 1), min(people, times))
        self.people = list(self._asking(numbers))
        with UnitOfWork(self.engine) as session, session.begin():
            self.unclaimed = list(provision(session, "ear_cymba", WARM + times))
        self._seqs: dict[str, int] = {}
        self._lines: Sequence[int] = ()

    def _asking(self, numbers: Sequence[int]) -> Iterator[Asker]:
        devices = [f"device-{number:08}" for number in numbers]
        client, signer = self.app.test_client(), self.app.extensions["cymba"].signer
        with UnitOfWork(self.engine) as session, session.begin():
            last = {}
            for day in (KEPT.sessions - 1, KEPT.sessions):
                values = {"devices": devices, "at": begin_at() + timedelta(days=day)}
                for account_id, device_id, id_ in session.execute(text(PEOPLE), values):
                    last[day, device_id] = (account_id, id_)
            pairs = {
                device_id: sign_in(session, signer, last[KEPT.sessions, device_id][0], utc_now())
                for device_id in devices
            }
        for device_id, pair in pairs.items():
            bearer = {"Authorization": f"Bearer {pair.access_token}"}
            cursor = client.get("/v1/sync?limit=200", headers=bearer).get_json()["next_cursor"]
            (_, closed), (_, open_id) = (last[KEPT.sessions - back, device_id] for back in (1, 0))
            yield Asker(device_id, bearer, closed, open_id, cursor)

    def request(
        self, turn: int, method: str, path: str, body: dict[str, Any] | None = None
    ) -> WSGIEnvironment:
        """Of the next person; `path` names what it needs of them."""
        person = self.people[turn % len(self.people)]
        path = path.format(person=person)
        return EnvironBuilder(
            path, method=method, json=body, headers=[*person.bearer.items()]
        ).get_environ()

    def answer(self, asked: WSGIEnvironment) -> None:
        statuses: list[str] = []

        def start(status: str, *_: object) -> Callable[[bytes], object]:
            statuses.append(status)
            return lambda _: None

        body = self.app(asked, start)
        answered = b"".join(body)
        assert statuses[0][:3] in {"200", "201"}, answered

    def batch(self, turn: int) -> list[Delivery]:
        """First frames of new sessions, each of another device."""
        first = turn * BATCH
        return [
            self._first_frame(self.people[(first + one) % len(self.people)].device_id)
            for one in range(BATCH)
        ]

    def _first_frame(self, device_id: str) -> Delivery:
        self._seqs[device_id] = seq = self._seqs.get(device_id, KEPT.sessions * SESSION_SEQS) + 1
        up_ms = (KEPT.sessions + 1) * 86_400_000 + seq
        frame = SamplesFrame(v=1, store=1, seq=seq, boot=1, sid=uuid4(), up=up_ms, dt=1_000, n=1,
                             c={"amplitude_ua": [1_000]})  # fmt: skip
        return Delivery(device_id, to_json(frame), utc_now(), settled=True)

    def store(self, batch: Sequence[Delivery]) -> None:
        with UnitOfWork(self.engine) as session, session.begin():
            ingest(session, batch)

    def note_lines(self) -> None:
        """Which processes of the server are this database's connections."""
        with self.engine.connect() as connection:
            self._lines = connection.scalars(text(LINES)).all()

    def database_s(self) -> float:
        """The processors' time of those connections."""
        return sum(cpu_s(pid) for pid in self._lines)


def size_mb(engine: Engine) -> int:
    with engine.connect() as connection:
        size = connection.scalar(text("SELECT pg_database_size(current_database())"))
    return int(size) // 2**20


class HotRequest(NamedTuple):
    prepare: Callable[[ScaledWorld, int], Any]  # not measured
    ask: Callable[[ScaledWorld, Any], None] = ScaledWorld.answer
    every: int = 1  # one for so many of the others


def read(path: str) -> HotRequest:
    return HotRequest(lambda world, turn: world.request(turn, "GET", path))


def diary_entry(world: ScaledWorld, turn: int) -> WSGIEnvironment:
    entry = {"felt_at": utc_now().isoformat(), "time_zone": "UTC", "items": {"pain_now": 4}}
    return world.request(turn, "PUT", f"/v1/diary/{uuid4()}", entry)


def operation(world: ScaledWorld, turn: int) -> WSGIEnvironment:
    fields = {"felt_at": utc_now().isoformat(), "time_zone": "UTC", "items": {"mood": 6}}
    made = {"id": str(uuid4()), "kind": "diary-entry", "action": "put", "builds_on": [],
            "entity_id": str(uuid4()), "base_version": 0, "fields": fields}  # fmt: skip
    return world.request(turn, "POST", "/v1/sync", {"operations": [made]})


def claim(world: ScaledWorld, turn: int) -> WSGIEnvironment:
    device = world.unclaimed[turn]
    given = {"serial": device.serial, "code": device.claim_code}
    return world.request(turn, "POST", "/v1/devices/claim", given)


def stored(world: ScaledWorld, turn: int) -> None:
    while world.worker.run_once().summarised:
        pass
    world.store(world.batch(turn))


def worked(world: ScaledWorld, _: None) -> None:
    done = world.worker.run_once()
    assert done.summarised >= BATCH, done


REQUESTS = {
    "a page of sessions": read("/v1/sessions?limit=50"),
    "one session": read("/v1/sessions/{person.session_id}"),
    "telemetry, from the recording": read("/v1/sessions/{person.session_id}/telemetry?points=500"),
    "telemetry, from the frame table": read("/v1/sessions/{person.open_id}/telemetry?points=500"),
    "history by weeks": read("/v1/history?period=week"),
    "sync without news": read("/v1/sync?cursor={person.cursor}"),
    "first page of a sync": read("/v1/sync?limit=200"),
    "a page of the diary": read("/v1/diary?limit=50"),
    "correlations": read("/v1/insights/correlations"),
    "devices": read("/v1/devices"),
    "account": read("/v1/account"),
    "write a diary entry": HotRequest(diary_entry),
    "push one operation": HotRequest(operation),
    "claim a device": HotRequest(claim),
    f"store {BATCH} first frames": HotRequest(ScaledWorld.batch, ScaledWorld.store, every=5),
    f"a round over {BATCH} new sessions": HotRequest(stored, worked, every=20),
}


@dataclass
class TurnTimes:
    """Of one request in one database: seconds by the clock, and of the processors."""

    times: list[float] = field(default_factory=list)
    application_s: float = 0.0
    database_s: float = 0.0

    def quantile_ms(self, share: float) -> float:
        return float(np.quantile(self.times, share)) * 1e3

    @property
    def cpu_ms(self) -> float:
        return (self.application_s + self.database_s) / len(self.times) * 1e3


def measure(worlds: Sequence[ScaledWorld], request: HotRequest, times: int) -> list[TurnTimes]:
    found = [TurnTimes() for _ in worlds]
    both = list(zip(worlds, found, strict=True))
    for turn in range(WARM + times // request.every):
        if turn == WARM:  # by now each has the connections that it needs
            for world in worlds:
                world.note_lines()
        for world, measured in both if turn % 2 else reversed(both):
            made = request.prepare(world, turn)
            database_s, application_s = world.database_s(), time.process_time()
            began_s = time.perf_counter()
            request.ask(world, made)
            took_s = time.perf_counter() - began_s
            if turn >= WARM:
                measured.times.append(took_s)
                measured.application_s += time.process_time() - application_s
                measured.database_s += world.database_s() - database_s
    return found


def show(name: str, few: TurnTimes, many: TurnTimes) -> bool:
    """Print the row; whether it is no slower than it may be."""
    row, held = f"| {name}", True
    for share in (0.5, 0.99):
        times = few.quantile_ms(share), many.quantile_ms(share)
        ratio = times[1] / times[0]
        held &= ratio <= MOST
        row += f" | {times[0]:.2f} | {times[1]:.2f} | {ratio:.2f}"
    print(f"{row} | {few.cpu_ms:.2f} | {many.cpu_ms:.2f} |", flush=True)
    return held


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--people", type=int, default=10_000)
    options.add_argument("--times", type=int, default=300)
    options.add_argument("--only", default="", help="of the requests that have this in their name")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as open_things:
        folder = Path(name)
        server = started(folder / "postgres")
        open_things.callback(server.stop)
        worlds = []
        for people in (FEW, given.people):
            with psycopg.connect(server.url, autocommit=True) as admin:
                admin.execute(SQL("CREATE DATABASE {}").format(Identifier(f"of_{people}")))
            url = at_database(server.url, f"of_{people}")
            worlds.append(ScaledWorld(url, people, folder / f"{people}", given.times))
            open_things.callback(worlds[-1].engine.dispose)
        run(worlds, given)


def started(folder: Path) -> EmbeddedPostgres:
    """Sized as a server of its own would be; its durability is on."""
    server = postgres.start(folder)
    with psycopg.connect(server.url, autocommit=True) as admin:
        for name, value in SERVER.items():
            admin.execute(SQL("ALTER SYSTEM SET {} = {}").format(Identifier(name), value))
    server.stop()
    return postgres.start(folder)


def run(worlds: Sequence[ScaledWorld], given: argparse.Namespace) -> None:
    gc.freeze()
    few, many = f"{FEW} people", f"{given.people:,}"
    print(f"| request | p50, ms: {few} | {many} | ratio | p99, ms: {few} | {many} | ratio", end="")
    print(f" | CPU, ms: {few} | {many} |")
    print("|---|" + "---:|" * 8, flush=True)
    slow = [
        name
        for name, request in REQUESTS.items()
        if given.only in name and not show(name, *measure(worlds, request, given.times))
    ]
    if slow:
        raise SystemExit(f"over {MOST} times as slow beside {many} people: {', '.join(slow)}")


if __name__ == "__main__":
    main()
