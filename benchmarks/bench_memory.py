"""The memory that reading and writing the largest sessions takes beyond the process's own.

Each case is a process of its own: it connects, reads a small session, and then notes by how much
its resident memory rises while it does one thing with a large one. Both shapes fill what a session
may hold (`MAX_SESSION_BYTES`): many readings in large frames, and many frames of one reading.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, line_of, make_engine
from cymba.devices.models import MODELS, usual_programme
from cymba.devices.quotas import MAX_SESSION_BYTES, READING_BYTES, SAMPLE_BYTES, SESSION_FRAME_BYTES
from cymba.devices.tables import Device, DeviceTenure
from cymba.stimulation.archive.compaction import compact_session, multirange
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.reading import SessionKey
from cymba.stimulation.archive.recording import encode_recording
from cymba.stimulation.session.arrow import as_table
from cymba.stimulation.session.queries import events_of, telemetry_of
from cymba.stimulation.session.summarising import summarise_sessions
from cymba.stimulation.tables import Recording, SessionExtent, StimulationSession
from cymba.stimulation.wire.messages import SamplesFrame, StartFrame
from ops import postgres, schema
from service.resources.telemetry import csv_of

DEVICE = "ey-bench-0001"
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
CHANNELS = ("amplitude_ua", "impedance_ohm", "heart_rate_bpm", "rr_ms")
PROGRAMME = usual_programme(MODELS["ear_cymba"])


class Shape(NamedTuple):
    name: str
    sid: UUID
    readings: int  # of each channel in a frame
    share: float  # of what a session may hold


SMALL = Shape("small", UUID(int=1), 5, 0.001)
SHAPES = [
    Shape("many readings", UUID(int=2), 200, 1.0),
    Shape("many frames", UUID(int=3), 1, 1.0),
    Shape("24 h, a frame in 5 s", UUID(int=4), 5, 17_280 * 1_820 / MAX_SESSION_BYTES),
]


def frames_of(shape: Shape) -> Iterator[ReadFrame]:
    """As many as a session of this shape may hold."""
    counted = max(
        SESSION_FRAME_BYTES, shape.readings * (SAMPLE_BYTES + READING_BYTES * len(CHANNELS))
    )
    first = StartFrame(v=1, store=1, seq=1, boot=1, sid=shape.sid, up=0, programme=PROGRAMME)
    yield ReadFrame(first, AT)
    noise = np.random.default_rng(1)
    for number in range(1, round(shape.share * MAX_SESSION_BYTES / counted)):
        columns = {name: noise.integers(1_000, 1_200, shape.readings).tolist() for name in CHANNELS}
        up_ms = number * 5_000
        yield ReadFrame(
            SamplesFrame(
                v=1, store=1, seq=number + 1, boot=1, sid=shape.sid, up=up_ms,
                dt=5_000 // shape.readings, n=shape.readings, c=columns,
            ),
            AT + timedelta(milliseconds=up_ms),
        )  # fmt: skip


def record(url: str, shape: Shape) -> tuple[int, int]:
    """Write a session as compaction leaves it. Give its readings, and its recording's bytes."""
    encoded = encode_recording(list(frames_of(shape)))
    engine = make_engine(url)
    with UnitOfWork(engine) as session, session.begin():
        session.add(
            Recording(
                device_id=DEVICE, sid=shape.sid, store=1, frame_count=encoded.frame_count,
                sample_count=encoded.sample_count, seqs=multirange(encoded.seqs),
                digests=encoded.digests, body=encoded.body,
            )
        )  # fmt: skip
        session.add(
            SessionExtent(
                device_id=DEVICE, sid=shape.sid, store=1, low_seq=1,
                high_seq=encoded.frame_count, low_boot=1, high_boot=1, sealed=True,
                last_received_at=AT,
            )
        )  # fmt: skip
    engine.dispose()
    return encoded.sample_count * len(CHANNELS), len(encoded.body)


def summarise(session: Session, shape: Shape) -> None:
    keys = [SessionKey(DEVICE, shape.sid)]
    summarise_sessions(session, keys, now=AT, silent_after=timedelta(0))


def thinned(session: Session, shape: Shape) -> None:
    found = session.get_one(StimulationSession, SessionKey(DEVICE, shape.sid).id)
    assert telemetry_of(line_of(session), found, points=1_000).series


def as_csv(session: Session, shape: Shape) -> None:
    found = session.get_one(StimulationSession, SessionKey(DEVICE, shape.sid).id)
    assert csv_of(as_table(telemetry_of(line_of(session), found, channels=CHANNELS[:1])))


def events(session: Session, shape: Shape) -> None:
    found = session.get_one(StimulationSession, SessionKey(DEVICE, shape.sid).id)
    events_of(session, found)


def compact(session: Session, shape: Shape) -> None:
    assert compact_session(session, SessionKey(DEVICE, shape.sid))


WAYS: dict[str, Callable[[Session, Shape], None]] = {
    "summary": summarise,
    "all channels, 1,000 points": thinned,
    "one channel as CSV": as_csv,
    "events": events,
    "compaction": compact,
}


def peak_mb() -> float:
    """The most that was resident of this process, which Linux tells since its program began."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_000


def rise(url: str, way: str, shape: Shape, told: Any) -> None:
    engine = make_engine(url)
    for one in (SMALL, shape):
        before_mb, began_s = peak_mb(), time.perf_counter()
        with UnitOfWork(engine) as session, session.begin():
            WAYS[way](session, one)
    told.put((peak_mb() - before_mb, time.perf_counter() - began_s))


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as name:
        server = postgres.start(Path(name) / "postgres")
        try:
            measure(server.url)
        finally:
            server.stop()


def measure(url: str) -> None:
    engine = make_engine(url)
    schema.upgrade(engine)
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="bench@example.org", name="")
        session.add(account)
        session.add(Device(id=DEVICE, serial="EYBENCH", model="ear_cymba", created_at=AT))
        session.flush()
        session.add(DeviceTenure(device_id=DEVICE, account_id=account.id, claimed_at=AT))
    engine.dispose()
    record(url, SMALL)
    print("| session | readings | recording, MB | what | MB more | s |")
    print("|---|---:|---:|---|---:|---:|", flush=True)
    for shape in SHAPES:
        readings, size = record(url, shape)
        for way in WAYS:
            told: Any = multiprocessing.Queue()
            process = multiprocessing.Process(target=rise, args=(url, way, shape, told))
            process.start()
            process.join()
            more_mb, took_s = told.get(timeout=1) if process.exitcode == 0 else (-1, -1)
            print(
                f"| {shape.name} | {readings:,} | {size / 1e6:.1f} | {way} | {more_mb:.0f} "
                f"| {took_s:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
