"""A live fleet: many devices that send a frame now and then, over every part that is at work then.

python -m benchmarks.bench_live [--rates 100 400] [--seconds 40] [--devices 1000]

Devices with a connection each, over Mosquitto and PostgreSQL as they are shipped, one bridge and
one session worker. At each rate every device sends one frame first, and what follows is measured:
the share of frames that take the fast path, the processor time of each part for a frame, and how
long a device waits for its receipt. In either half of that time: how many sessions wait for their
summary though they are due, at the most, and the resident memory of bridge and worker. The part
with the most time for a frame is the first that fills a core; PostgreSQL alone may fill several.
"""

import argparse
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sqlalchemy import text

from benchmarks.bridge_run import DEVICES, BridgeRun, metric, tree_cpu_s
from tests.end_to_end.parts import ROOT, wait_until


@dataclass
class Spending:
    stored: float
    fast: float
    cpu_s: dict[str, float]


@dataclass
class Live:
    rate: float
    share: float  # of the frames, by the fast path
    cpu_us: dict[str, float]  # of each part, for a frame
    receipt_ms: tuple[float, float]  # p50, p99
    halves: list["Standing"]


@dataclass
class Standing:
    """What stood at one moment, or the most of it in some time."""

    waiting: int  # sessions that are due and not summarised yet
    memory_mb: dict[str, float]

    @classmethod
    def most(cls, some: Sequence["Standing"]) -> "Standing":
        names = some[0].memory_mb
        return cls(
            max(one.waiting for one in some),
            {name: max(one.memory_mb[name] for one in some) for name in names},
        )


@contextmanager
def session_worker(stage: BridgeRun) -> Iterator[int]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("CYMBA_")
    } | {"CYMBA_DATABASE_URL": stage.database.url, "CYMBA_LOG_LEVEL": "warning"}
    with (stage.folder / "seal.log").open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "ops", "seal"],
            env=environment, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        try:
            yield worker.pid
        finally:
            worker.terminate()
            worker.wait()


@contextmanager
def watched(stage: BridgeRun, pids: dict[str, int]) -> Iterator[list[Standing]]:
    """What stands each second meanwhile."""
    seen: list[Standing] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1.0):
            with stage.engine.connect() as connection:
                waiting = connection.scalar(_WAITING) or 0
            memory_mb = {name: resident_mb(pid) for name, pid in pids.items()}
            seen.append(Standing(waiting, memory_mb))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


_WAITING = text("SELECT count(*) FROM session_extent WHERE dirty AND due_at <= now()")


def resident_mb(pid: int) -> float:
    """Of a process and its children."""
    own = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(own[0]) / 1024 + sum(resident_mb(int(child)) for child in children)


def measure(stage: BridgeRun, rate: float, seconds: float) -> Live:
    devices = len(stage.devices)
    frames = 1 + max(1, int(rate * seconds) // devices)
    with stage.fresh(), stage.bridges(1) as pids, session_worker(stage) as worker:
        parts = {
            "bridge": pids[0],
            "session worker": worker,
            "Mosquitto": stage.broker.pid,
            "PostgreSQL": stage.database.pid,
        }

        def read() -> Spending:
            port = stage.metrics_ports[0]
            stored, fast = (metric(port, f"frames_{kind}_total") for kind in ("stored", "fast"))
            cpu_s = {name: tree_cpu_s(pid) for name, pid in parts.items()}
            return Spending(stored or 0, fast or 0, cpu_s)

        times_file = stage.folder / "times.npz"
        loading = stage.load(frames, rate=rate, times_file=str(times_file), idle_s=30.0)
        wait_until(lambda: read().stored >= devices, what="each device has sent a frame")
        before = read()
        own = {name: parts[name] for name in ("bridge", "session worker")}
        with watched(stage, own) as seen:
            acked = loading.result()["frames"]
        after = read()
        assert acked == frames * devices, f"{acked:.0f} of {frames * devices} acked"
    times = np.load(times_file)
    waited_ms = (times["acked_at"] - times["published_at"])[:, 2:] * 1000
    p50, p99 = np.percentile(waited_ms, [50, 99])
    counted = after.stored - before.stored
    return Live(
        rate,
        (after.fast - before.fast) / counted,
        {name: (after.cpu_s[name] - before.cpu_s[name]) / counted * 1e6 for name in parts},
        (float(p50), float(p99)),
        [Standing.most(half) for half in (seen[: len(seen) // 2], seen[len(seen) // 2 :])],
    )


def memory(halves: Sequence[Standing], name: str) -> str:
    return " / ".join(f"{half.memory_mb[name]:.0f}" for half in halves)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0, 400.0])
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--devices", type=int, default=DEVICES)
    given = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="bench-live-") as name:
        Path(name).chmod(0o755)
        stage = BridgeRun(Path(name), 0, profile=False, devices=given.devices)
        try:
            print(f"{given.devices} devices; {os.cpu_count()} cores for all; load average: "
                  f"{os.getloadavg()[0]:.1f}\n")  # fmt: skip
            print("| frames/s | fast path | bridge | session worker | Mosquitto | PostgreSQL "
                  "| receipt p50 / p99, ms | sessions waiting, halves | MB of bridge, halves "
                  "| MB of worker, halves | fills a core first |")  # fmt: skip
            print("|---:|---:|---:|---:|---:|---:|---|---|---|---|---|")
            for rate in given.rates:
                one = measure(stage, rate, given.seconds)
                spent = " | ".join(f"{cpu_us:,.0f} µs" for cpu_us in one.cpu_us.values())
                most = max(one.cpu_us, key=one.cpu_us.__getitem__)
                p50, p99 = one.receipt_ms
                full = f"{most}, at {1e6 / one.cpu_us[most]:,.0f} frames/s"
                print(f"| {rate:,.0f} | {one.share:.1%} | {spent} | {p50:.1f} / {p99:.1f} "
                      f"| {' / '.join(str(half.waiting) for half in one.halves)} "
                      f"| {memory(one.halves, 'bridge')} | {memory(one.halves, 'session worker')} "
                      f"| {full} |", flush=True)  # fmt: skip
        finally:
            stage.stop()


if __name__ == "__main__":
    main()
