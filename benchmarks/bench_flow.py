"""What a device that means harm costs its neighbours: their frames stored a second, with and
without it.

python -m benchmarks.bench_flow [--rounds 3] [--seconds 30] [--kinds flood huge …]

Its neighbours are a hundred live devices that send 1,000 frames a second between them, over a
Mosquitto as it is shipped, to one bridge and a PostgreSQL with its durability on. The hostile
device is in a process of its own and sends as fast as the broker reads, from the beginning of the
measured time on; it dials again as often as it is cut off. Runs with and without it take turns. It
prints the time until all the neighbours' frames were acknowledged, as a ratio to the time without
the flood, and the time from the publication of a frame to its acknowledgement.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, text

from benchmarks.bridge_run import Loading, metric
from benchmarks.mqtt_load import LoadPlan
from cymba.database import make_engine
from tests.end_to_end.hostile import KINDS
from tests.end_to_end.parts import ROOT, BridgeProcess, DatabaseServer, wait_until
from tests.end_to_end.shipped_mosquitto import ShippedMosquitto
from tests.free_ports import free_port

NEIGHBOURS = 100
FRAMES_PER_S = 1_000


class FlowRun:
    """Database, broker, bridge, and all devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = DatabaseServer(folder / "postgres")
        self.engine: Engine = make_engine(self.database.url)
        self.neighbours = self.database.provision(NEIGHBOURS)
        self.broker = ShippedMosquitto(folder / "site", self.engine)
        self.broker.start()
        self.port = free_port()
        self.bridge = BridgeProcess(
            folder / "bridge.log",
            {
                "CYMBA_DATABASE_URL": self.database.url,
                "CYMBA_BROKER_URL": self.broker.bridge_url,
                "CYMBA_METRICS_PORT": str(self.port),
                "CYMBA_LOG_LEVEL": "warning",
            },
        )
        self.bridge.start()
        self.settle()
        self._store = 0

    def settle(self) -> None:
        wait_until(lambda: metric(self.port, "settled") == 1, what="the bridge is settled")

    def run(self, seconds: float, kind: str | None) -> tuple[float, np.ndarray]:
        """The seconds until all was acknowledged, and of each frame the time it took."""
        self._store += 1
        times = self.folder / "times.npz"
        plan = LoadPlan(
            port=self.broker.port,
            devices=[(one.device_id, one.secret) for one in self.neighbours],
            store=self._store,
            frames=int(seconds * FRAMES_PER_S) // NEIGHBOURS,
            rate=FRAMES_PER_S,
            times_file=str(times),
            idle_s=60.0,
        )
        hostile = None if kind is None else self.attack(kind)
        try:
            result = Loading(plan).result()
        finally:
            if hostile is not None:
                hostile.kill()
                hostile.wait()
        assert result["frames"] == plan.frames * NEIGHBOURS, result
        with np.load(times) as measured:
            took = (measured["acked_at"] - measured["published_at"])[:, 1:]
        self.settle()
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE frame, session_extent, quarantine"))
        return result["seconds"], took.ravel()

    def attack(self, kind: str) -> "subprocess.Popen[bytes]":
        """By a device that is new to the bridge, so that its buckets are full."""
        (made,) = self.database.provision(1)
        with self.engine.begin() as connection:
            connection.execute(text("NOTIFY cymba_credentials"))
        passwords = self.folder / "site" / "run" / "passwords"
        wait_until(lambda: made.device_id in passwords.read_text(), what="it is known")
        victim = self.neighbours[0].device_id
        words = [str(self.broker.port), made.device_id, made.secret, kind, victim]
        command = [sys.executable, "-m", "tests.end_to_end.hostile", *words]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.bridge.stop()
        self.broker.stop()
        self.engine.dispose()
        self.database.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    given = parser.parse_args()
    alone: list[tuple[float, np.ndarray]] = []
    beside: dict[str, list[tuple[float, np.ndarray]]] = {kind: [] for kind in given.kinds}
    with tempfile.TemporaryDirectory() as name:
        stage = FlowRun(Path(name))
        try:
            stage.run(3, None)  # warms up
            for _ in range(given.rounds):
                alone.append(stage.run(given.seconds, None))
                for kind in given.kinds:
                    beside[kind].append(stage.run(given.seconds, kind))
        finally:
            stage.stop()
    usual_s = statistics.median(seconds for seconds, _ in alone)
    print(f"\n| {NEIGHBOURS} neighbours, {FRAMES_PER_S:,} frames/s for {given.seconds:.0f} s "
          "| all acked after, s | times as long | ack p50, ms | p95 | p99 | worst |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for kind, runs in {"alone": alone, **beside}.items():
        seconds = statistics.median(one for one, _ in runs)
        took_ms = np.concatenate([took for _, took in runs]) * 1000
        p50, p95, p99 = np.percentile(took_ms, [50, 95, 99])
        print(f"| {kind} | {seconds:.1f} | {seconds / usual_s:.2f} | {p50:.1f} | {p95:.0f} "
              f"| {p99:.0f} | {took_ms.max():.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
