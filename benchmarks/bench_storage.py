"""The size of a sample in the frame table and compacted, and the time to read a one-hour session.

python -m benchmarks.bench_storage

The sessions are the simulator's, in frames of ten seconds. The floor of the sizes is the order-0
entropy of each column (or of its differences, if that is less) without any framing; the floor of
the reading is PostgreSQL handing over the same columns as plain arrays from one row.

--grow measures alone what frames and sessions add to the tables and to the write-ahead log.
"""

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import UUID

import msgspec
import numpy as np
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, line_of, make_engine
from cymba.devices.anchors import load_clocks
from cymba.devices.tables import Device, DeviceTenure
from cymba.stimulation.archive.columns import load_columns
from cymba.stimulation.archive.reading import SessionKey, load_frames
from cymba.stimulation.archive.recording import decode_recording, encode_recording
from cymba.stimulation.ingest.decide import Delivery, Stored
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.session.telemetry import telemetry
from cymba.stimulation.wire.messages import EndFrame, Frame, SamplesFrame, StartFrame, to_json
from cymba.tables import metadata
from ops import postgres
from simulator.faults import CLEAN
from simulator.life import Life, WrittenFrame
from tests.stimulation.worker_steps import compact_due, summarise_due

SIX = ("amplitude_ua", "impedance_ohm", "heart_rate_bpm", "rr_ms", "skin_temp_mc", "battery_pct")
SESSIONS = 200
BEGAN_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
DEVICE = "bench-device"
REPEATS = 15
POINTS = 1_000
LIMIT_BYTES = 5.0


def simulated(sessions: int) -> list[list[Frame]]:
    """The frames of whole sessions of one device."""
    life = Life(DEVICE, "ear_cymba", seed=1, began_at=BEGAN_AT, profile=CLEAN)
    clock = life.clock_of(life.first_boot, 0.0)
    lived = life.lived(0.0, 1e12, clock)
    found: list[list[Frame]] = []
    for frame in (one.frame for one in lived if isinstance(one, WrittenFrame)):
        if isinstance(frame, StartFrame):
            if len(found) == sessions:
                break
            found.append([])
        found[-1].append(frame)
    return found


def only(frames: Iterable[Frame], channels: Sequence[str]) -> list[Frame]:
    """The frames with no other columns than `channels`."""
    return [
        msgspec.structs.replace(frame, c={k: v for k, v in frame.c.items() if k in channels})
        if isinstance(frame, SamplesFrame)
        else frame
        for frame in frames
    ]


def hour_long(frames: Sequence[Frame]) -> list[Frame]:
    """A session of 3,600 samples in the form of `frames`, its readings repeated."""
    start = next(frame for frame in frames if isinstance(frame, StartFrame))
    samples = [frame for frame in frames if isinstance(frame, SamplesFrame) and frame.n == 10]
    made: list[Frame] = [start]
    for i in range(360):
        source = samples[i % len(samples)]
        up, seq = start.up + i * 10_000, start.seq + 1 + i
        counted = {k: v for k, v in source.c.items() if k not in {"charge_uc", "pulses"}}
        made.append(msgspec.structs.replace(source, up=up, seq=seq, c=counted, utc=None))
    last_seq = start.seq + 361
    made.append(
        EndFrame(
            v=1, store=start.store, boot=start.boot, sid=start.sid, seq=last_seq,
            up=start.up + 3_600_000, reason="completed", first_seq=start.seq, last_seq=last_seq,
        )
    )  # fmt: skip
    return made


def entropy_bytes(values: Sequence[int]) -> float:
    """Order-0 entropy of the values or of their differences, whichever is less."""

    def of(numbers: np.ndarray) -> float:
        _, counts = np.unique(numbers, return_counts=True)
        return float(-(counts * np.log2(counts / numbers.size)).sum() / 8)

    array = np.array(values, dtype=np.int64)
    return min(of(array), of(np.diff(array, prepend=array[:1]))) if array.size else 0.0


def floor_bytes(sessions: Iterable[Sequence[Frame]]) -> float:
    total = 0.0
    for frames in sessions:
        columns: dict[str, list[int]] = {}
        for frame in frames:
            if isinstance(frame, SamplesFrame):
                for name, column in frame.c.items():
                    columns.setdefault(name, []).extend(v for v in column if v is not None)
        total += sum(entropy_bytes(column) for column in columns.values())
    return total


_SIZES = text(
    "SELECT oid::regclass::text, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)
_LOG = text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")


@dataclass
class Database:
    """A fresh database with one device that one account holds."""

    engine: Engine

    def begin(self) -> None:
        metadata.drop_all(self.engine)
        metadata.create_all(self.engine)
        with UnitOfWork(self.engine) as session, session.begin():
            account = Account(email="bench@example.org")
            session.add_all([account, Device(id=DEVICE, serial="EY-BENCH", model="ear_cymba")])
            session.flush()
            session.add(DeviceTenure(device_id=DEVICE, account_id=account.id, claimed_at=BEGAN_AT))

    def store(self, frames: Sequence[Frame], batch: int = 1_000) -> None:
        """Ingest, each frame arriving a little after its last sample was taken."""
        rng = np.random.default_rng(frames[0].seq)
        deliveries = []
        for frame in frames:
            until_ms = frame.up + (10_000 if isinstance(frame, SamplesFrame) else 0)
            delay_us = int(rng.gamma(2.0, 60_000.0))
            at = BEGAN_AT + timedelta(milliseconds=until_ms, microseconds=delay_us)
            deliveries.append(Delivery(DEVICE, to_json(frame), at, False))
        for i in range(0, len(deliveries), batch):
            with UnitOfWork(self.engine) as session, session.begin():
                outcomes = ingest(session, deliveries[i : i + batch]).outcomes
                assert all(isinstance(outcome, Stored) for outcome in outcomes)

    def keep(self) -> None:
        now = BEGAN_AT + timedelta(days=365)
        with UnitOfWork(self.engine) as session, session.begin():
            summarise_due(session, now=now)
        sealed = 1
        while sealed:
            with UnitOfWork(self.engine) as session, session.begin():
                sealed = compact_due(session, now=now)

    def state(self) -> tuple[Counter[str], int]:
        """Bytes of each table with its indexes, and how far the write-ahead log has come."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM"))
            sizes = {name: int(size) for name, size in connection.execute(_SIZES)}
            return Counter(sizes), int(connection.scalar(_LOG) or 0)

    def checkpoint(self) -> None:
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))

    def size(self, table: str) -> int:
        """Bytes with indexes and TOAST, as after a vacuum that gives all back."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM FULL {table}"))
            size: int = connection.scalar(text(f"SELECT pg_total_relation_size('{table}')")) or 0
            return size

    def row_per_sample(self, sessions: Iterable[Sequence[Frame]], channels: Sequence[str]) -> int:
        """The size of the naive table: a row for each sample, a column for each channel."""
        columns = ", ".join(f"{name} integer" for name in channels)
        rows = []
        for frames in sessions:
            for frame in frames:
                if isinstance(frame, SamplesFrame):
                    for i in range(frame.n):
                        at = BEGAN_AT + timedelta(milliseconds=frame.up + i * frame.dt)
                        values = [next(islice(frame.c.get(c, ()), i, None), None) for c in channels]
                        rows.append([DEVICE, frame.sid, at, *values])
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "CREATE TABLE sample (device_id text, sid uuid, at timestamptz, "
                    f"{columns}, PRIMARY KEY (device_id, at))"
                )
            )
            names = ["device_id", "sid", "at", *channels]
            marks = ", ".join(f":{name}" for name in names)
            connection.execute(
                text(f"INSERT INTO sample VALUES ({marks}) ON CONFLICT DO NOTHING"),  # noqa: S608 - names of ours
                [dict(zip(names, row, strict=True)) for row in rows],
            )
        size = self.size("sample")
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE sample"))
        return size


def sizes(database: Database, title: str, sessions: list[list[Frame]]) -> float:
    """Print the bytes of a sample in each form; return those of the sealed one."""
    samples = sum(f.n for frames in sessions for f in frames if isinstance(f, SamplesFrame))
    channels = sorted(
        {n for fs in sessions for f in fs if isinstance(f, SamplesFrame) for n in f.c}
    )
    database.begin()
    naive = database.row_per_sample(sessions, channels)
    for frames in sessions:
        database.store(frames)
    frame_table = database.size("frame")
    database.keep()
    encoded = database.size("recording")
    with database.engine.connect() as connection:
        bodies, digests = connection.execute(
            text("SELECT sum(length(body)), sum(length(digests)) FROM recording")
        ).one()
    floor = floor_bytes(sessions)
    print(f"\n{title}: {len(sessions)} sessions, {samples:,} samples, {len(channels)} channels")
    print(f"{'':34}{'bytes a sample':>16}{'of the floor':>14}")
    for name, size in (
        ("a row per sample", naive),
        ("frame table, with its index", frame_table),
        ("compacted, as its table takes", encoded),
        ("  of it: columns", bodies),
        ("  of it: hashes of the frames", digests),
        ("floor: entropy of the columns", floor),
    ):
        print(f"{name:34}{float(size) / samples:16.2f}{float(size) / floor:14.2f}")
    return float(bodies + digests) / samples


def grow(database: Database, sessions: list[list[Frame]]) -> None:
    """Print what frames and sealed sessions add."""
    frames = sum(map(len, sessions))
    samples = sum(f.n for fs in sessions for f in fs if isinstance(f, SamplesFrame))
    each = len(sessions)
    print(
        f"\n{each} sessions, of {frames / each:.0f} frames and {samples / each:,.0f} samples each"
    )
    database.begin()
    empty, _ = database.state()
    for one in sessions:
        database.store(one)
    stored, _ = database.state()
    print(f"waiting to be sealed, bytes a frame: {(stored - empty).total() / frames:,.0f}")
    began_s, (_, before) = time.process_time(), database.state()
    database.keep()
    taken_s, (sealed, after) = time.process_time() - began_s, database.state()
    print(f"summing up and sealing, CPU: {taken_s / each * 1000:.1f} ms a session")
    print(f"  write-ahead log: {(after - before) / each:,.0f} bytes a session")
    for table in sealed:
        database.size(table)
    packed, _ = database.state()
    print(f"sealed, bytes a session: {(packed - empty).total() / each:,.0f}")
    for table, size in sorted((packed - empty).items(), key=lambda one: -one[1]):
        print(f"  {table:32}{size / each:10,.0f}")
    # As one device alone sends them: every five minutes PostgreSQL writes whole pages anew.
    for every, what in ((10**6, "without a checkpoint"), (30, "a checkpoint each 30 frames")):
        database.begin()
        _, before = database.state()
        few = [frame for one in sessions[:20] for frame in one]
        for i, frame in enumerate(few):
            if i % every == 0:
                database.checkpoint()
            database.store([frame], batch=1)
        _, after = database.state()
        print(f"one by one, {what}: {(after - before) / len(few):,.0f} bytes of log a frame")


def timed(work: Callable[[], object]) -> float:
    """Median milliseconds."""
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def reading(database: Database, session_frames: Sequence[Frame]) -> None:
    """Time the reading of a one-hour session, and print it beside its floor."""
    frames = hour_long(session_frames)
    sid: UUID = frames[0].sid
    database.begin()
    database.store(frames)
    with UnitOfWork(database.engine) as session:
        table_ms = timed(lambda: shown(session, sid))
        loaded_ms = timed(lambda: load_frames(session, DEVICE, sid))
    with UnitOfWork(database.engine) as session, session.begin():
        summarise_due(session, now=BEGAN_AT + timedelta(days=1))
    with UnitOfWork(database.engine) as session:
        reads = load_frames(session, DEVICE, sid)
        clocks = load_clocks(session, DEVICE)
        summary_ms = timed(lambda: summarise(reads, clocks, silent=False))
        encode_ms = timed(lambda: encode_recording(reads))
        encoded = encode_recording(reads)
        decode_ms = timed(lambda: decode_recording(encoded.body, frames[0].store, sid))
    with UnitOfWork(database.engine) as session, session.begin():
        assert compact_due(session, now=BEGAN_AT + timedelta(days=9)) == 1
    with UnitOfWork(database.engine) as session:
        sealed_ms = timed(lambda: shown(session, sid))
        plain(session, sid)
        floor_ms = timed(lambda: session.execute(text("SELECT * FROM plain")).one())
    print("\nA one-hour session: 3,600 samples, 360 frames, downsampled to 1,000 points a channel")
    print(f"{'':34}{'ms':>16}{'of the floor':>14}")
    for name, ms in (
        ("telemetry from the frame table", table_ms),
        ("telemetry from the recording", sealed_ms),
        ("  of the frame table: reading frames", loaded_ms),
        ("  of the recording: opening it", decode_ms),
        ("floor: plain arrays of one row", floor_ms),
        ("aggregating it", summary_ms),
        ("compacting it", encode_ms),
    ):
        print(f"{name:34}{ms:16.2f}{ms / floor_ms:14.2f}")


def shown(session: Session, sid: UUID) -> object:
    """What a request for telemetry does, short of writing the answer."""
    columns = load_columns(line_of(session), DEVICE, sid)
    return telemetry(columns, load_clocks(session, DEVICE), points=POINTS)


def plain(session: Session, sid: UUID) -> None:
    """The same columns, every value, as integer arrays in one row."""
    key = SessionKey(DEVICE, sid)
    found = telemetry(load_columns(line_of(session), *key), load_clocks(session, DEVICE))
    columns = {
        f"{one.channel}_{kind}": numbers
        for one in found.series
        for kind, numbers in (
            ("ms", one.offset_ms.tolist()),
            ("values", [None if np.isnan(v) else round(v * 1000) for v in one.values]),
        )
    }
    names = ", ".join(f"{name} bigint[]" for name in columns)
    session.execute(text(f"CREATE TEMPORARY TABLE plain ({names})"))
    marks = ", ".join(f":{name}" for name in columns)
    session.execute(text(f"INSERT INTO plain VALUES ({marks})"), columns)  # noqa: S608 - names of ours


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "postgres")
        engine = make_engine(server.url)
        try:
            database = Database(engine)
            sessions = simulated(SESSIONS)
            if "--grow" in sys.argv[1:]:
                grow(database, sessions)
                return
            six = sizes(database, "Six channels", [only(frames, SIX) for frames in sessions])
            sizes(database, "All channels", sessions)
            reading(database, max(sessions, key=len))
            print(f"\nsealed, a sample of six channels: {six:.2f} bytes (at most {LIMIT_BYTES:g})")
            assert six <= LIMIT_BYTES
        finally:
            engine.dispose()
            server.stop()


if __name__ == "__main__":
    main()
