"""What a live frame costs the session worker, by how long its session already is.

python -m benchmarks.bench_sessions

Each of some devices has an open session of frames of ten seconds, 10 samples of 6 channels. Then
each sends one frame after another, and a round of the worker follows each. CPU time of the worker's
process and of its PostgreSQL backend, for each frame; beside the floor: the frame unpacked and
folded into sums, without statements.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from sqlalchemy import Engine, text

from benchmarks.bridge_run import tree_cpu_s
from cymba.accounts.tables import Account
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.messages import Programme
from cymba.devices.tables import Device, DeviceTenure
from cymba.settings import Settings
from cymba.stimulation.ingest.decide import Delivery
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.wire.messages import Frame, SamplesFrame, StartFrame, to_json
from ops import postgres, schema
from workers.session_worker import SessionWorker

LENGTHS = {"1 min": 6, "30 min": 180, "4 h": 1_440}  # frames
FRAME_MS, AIM_US = 10_000, 500
SPACE = UUID(int=0)
IN_PLACE = text(
    """
    SELECT CAST(n_tup_hot_upd AS float8) / n_tup_upd FROM pg_stat_user_tables
    WHERE relname = 'session_extent'
    """
)


class Cost(NamedTuple):
    """CPU time of a frame, in µs."""

    worker: float
    database: float


def tape(device_id: str) -> Iterator[Frame]:
    head: dict[str, Any] = {"v": 1, "store": 7, "boot": 1, "sid": uuid5(SPACE, device_id)}
    yield StartFrame(**head, seq=1, up=1_000, programme=Programme(site="cymba_conchae"))
    for seq in range(2, 1_000_000):
        up = 1_000 + (seq - 2) * FRAME_MS
        columns: dict[str, list[int | None]] = {
            "amplitude_ua": [1_500] * 10,
            "amplitude_delivered_ua": [1_490 + seq % 9] * 10,
            "impedance_ohm": [5_000 + seq % 90] * 10,
            "heart_rate_bpm": [70 + seq % 5] * 10,
            "rr_ms": [850 + seq % 7] * 11,
            "skin_temp_mc": [33_000] * 10,
        }
        yield SamplesFrame(**head, seq=seq, up=up, dt=1_000, n=10, c=columns)


def add_devices(engine: Engine, name: str, count: int) -> dict[str, Iterator[Frame]]:
    device_ids = [f"{name.replace(' ', '')}-{number:06}" for number in range(count)]
    with UnitOfWork(engine) as session, session.begin():
        for device_id in device_ids:
            account = Account(email=f"{device_id}@example.org")
            session.add_all([account, Device(id=device_id, serial=device_id, model="ear_cymba")])
            session.flush()
            session.add(
                DeviceTenure(device_id=device_id, account_id=account.id, claimed_at=utc_now())
            )
    return {device_id: tape(device_id) for device_id in device_ids}


def send(engine: Engine, tapes: dict[str, Iterator[Frame]], frames: int) -> None:
    with UnitOfWork(engine) as session, session.begin():
        for device_id, one in tapes.items():
            payloads = [to_json(next(one)) for _ in range(frames)]
            ingest(session, [Delivery(device_id, it, utc_now(), settled=False) for it in payloads])


def backend_s(engine: Engine) -> float:
    """CPU time so far of the one backend that the worker speaks to."""
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    return tree_cpu_s(pid)


def measure(engine: Engine, url: str, name: str, devices: int, rounds: int) -> Cost:
    bridge = make_engine(url)
    tapes = add_devices(bridge, name, devices)
    moment = [utc_now()]
    worker = SessionWorker(engine, Settings(), clock=lambda: moment[0])

    def go_round() -> float:
        moment[0] += timedelta(seconds=11)
        began_s = time.process_time()
        while worker.run_once().more:
            pass
        return time.process_time() - began_s

    send(bridge, tapes, LENGTHS[name])
    go_round()
    send(bridge, tapes, 1)
    go_round()
    before_s, spent_s = backend_s(engine), 0.0
    for _ in range(rounds):
        send(bridge, tapes, 1)
        spent_s += go_round()
    frames = devices * rounds
    database_s = backend_s(engine) - before_s
    with UnitOfWork(bridge) as session, session.begin():  # the next length finds none of these
        session.execute(text("UPDATE session_extent SET dirty = false"))
        session.execute(text("UPDATE stimulation_session SET state = 'ended'"))
    bridge.dispose()
    return Cost(spent_s / frames * 1e6, database_s / frames * 1e6)


def floor_us() -> float:
    """Unpacking a frame and folding it in."""
    from cymba.devices.clocks import DeviceClocks  # noqa: PLC0415 - what is measured
    from cymba.stimulation.archive.read_frame import ReadFrame  # noqa: PLC0415
    from cymba.stimulation.session.folding import sums_of  # noqa: PLC0415
    from cymba.stimulation.wire.frames import PlainRow, pack, unpack  # noqa: PLC0415

    written = tape("floor-00000")
    first = [next(written) for _ in range(3)]
    packed = [(frame, pack(frame)) for frame in (next(written) for _ in range(2_000))]
    sums = sums_of([ReadFrame(frame, utc_now()) for frame in first], DeviceClocks({}), ())
    rows = [
        PlainRow(7, frame.sid, frame.seq, 1, one.kind, frame.up, None, one.body)
        for frame, one in packed
    ]
    at, began_s = utc_now(), time.process_time()
    for row in rows:
        sums.fold(ReadFrame(unpack(row), at))
    return (time.process_time() - began_s) / len(rows) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--no-floor", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = postgres.start(Path(folder) / "data")
        engine = make_engine(server.url, pool_size=1)
        schema.upgrade(engine)
        print("| session so far | worker, µs a frame | its backend, µs | frames/s a core |")
        print("|---|---:|---:|---:|")
        costs = {}
        for name in LENGTHS:
            costs[name] = measure(engine, server.url, name, given.devices, given.rounds)
            worker, database = costs[name]
            print(f"| {name} | {worker:.0f} | {database:.0f} | {1e6 / worker:,.0f} |", flush=True)
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
            in_place = connection.scalar(IN_PLACE)
        print(f"\nOf the updates of `session_extent` {in_place:.0%} changed a row in place (HOT).")
        engine.dispose()
        server.stop()
    slowest_us = max(cost.worker for cost in costs.values())
    verdict = "reached" if slowest_us <= AIM_US else "NOT reached"
    print(f"Aim: at most {AIM_US} µs of the worker a frame: {verdict}.")
    if not given.no_floor:
        print(f"\nThe floor, unpacked and folded: {floor_us():.1f} µs a frame.")


if __name__ == "__main__":
    main()
