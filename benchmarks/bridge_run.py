"""The parts that a bridge is measured with: broker, database, devices and the load they make."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine, text

from benchmarks.mqtt_load import LoadPlan
from cymba.database import make_engine
from cymba.devices.provisioning import Credentials
from tests.end_to_end.parts import (
    ROOT,
    BridgeProcess,
    DatabaseServer,
    MosquittoBroker,
    wait_until,
)
from tests.free_ports import free_port

DEVICES = 1_000
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class BridgeRun:
    """Broker, database and devices; each way then plays on it."""

    def __init__(self, folder: Path, frames: int, profile: bool, *, devices: int = DEVICES) -> None:
        self.folder = folder
        self.frames = frames
        self.profile = profile
        self.database = DatabaseServer(folder / "postgres")
        self.engine: Engine = make_engine(self.database.url)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ALTER SYSTEM SET track_commit_timestamp = on"))
        self.engine.dispose()
        self.database.kill()
        self.database.start()
        self.devices: list[Credentials] = self.database.provision(devices)
        self.broker = MosquittoBroker(
            folder / "mosquitto", {one.device_id: one.secret for one in self.devices}, slots=2
        )
        self.metrics_ports: list[int] = []  # of the bridges that run
        self._store = 0

    @property
    def total(self) -> int:
        return self.frames * len(self.devices)

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """An empty frame table and a broker that holds nothing."""
        with self.engine.begin() as connection:
            connection.execute(text("TRUNCATE frame"))
            connection.execute(text("DROP TABLE IF EXISTS naive_sample, node_frame, bare_frame"))
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CHECKPOINT"))
        shutil.rmtree(self.folder / "mosquitto" / "data", ignore_errors=True)
        (self.folder / "mosquitto" / "data").mkdir()
        self.broker.start()
        try:
            yield
        finally:
            self.broker.kill()

    @contextmanager
    def bridges(self, slots: int) -> Iterator[list[int]]:
        """`slots` bridges, connected; their process ids."""
        with ExitStack() as stack:
            self.metrics_ports, pids = [], []
            for slot in range(slots):
                port = free_port()
                bridge = BridgeProcess(
                    self.folder / f"bridge-{slot}.log",
                    {
                        "CYMBA_DATABASE_URL": self.database.url,
                        "CYMBA_BROKER_URL": self.broker.bridge_url,
                        "CYMBA_BRIDGE_SLOTS": str(slots),
                        "CYMBA_METRICS_PORT": str(port),
                        "CYMBA_LOG_LEVEL": "warning",
                    },
                    slot=slot,
                    program=("-m", "benchmarks.profiled") if self.profile else ("-m", "ops"),
                )
                bridge.start()
                stack.callback(bridge.stop)
                self.metrics_ports.append(port)
                pids.append(bridge.pid)
            wait_until(
                lambda: all(metric(port, "settled") == 1 for port in self.metrics_ports),
                what="the bridges are settled",
            )
            yield pids

    def load(self, frames: int, **options: Any) -> "Loading":
        self._store += 1
        plan = LoadPlan(
            port=self.broker.port,
            devices=[(one.device_id, one.secret) for one in self.devices],
            store=self._store,
            frames=frames,
            **options,
        )
        return Loading(plan)

    def stop(self) -> None:
        self.engine.dispose()
        self.database.stop()


class Loading:
    """A load on its way, in a process of its own."""

    def __init__(self, plan: LoadPlan) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.mqtt_load"], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(plan))
        self._process.stdin.close()

    def result(self) -> dict[str, float]:
        assert self._process.stdout is not None
        told = self._process.stdout.read()
        if self._process.wait():
            raise SystemExit("the load failed")
        result: dict[str, float] = json.loads(told)
        return result


def metric(port: int, name: str) -> float | None:
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    except OSError:
        return None
    for line in page.splitlines():
        if line.startswith(f"cymba_bridge_{name} "):
            return float(line.split()[1])
    return None


def tree_cpu_s(pid: int) -> float:
    """The time on a core that a process and its children have had."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        child = int(path.parent.name)
        parents[child] = int(fields[1])
        # A child that has ended counts for the parent that waited for it.
        spent[child] = sum(map(int, fields[11:15])) / TICKS_A_SECOND
    return sum(time_s for one, time_s in spent.items() if _descends(one, pid, parents))


def _descends(one: int, pid: int, parents: dict[int, int]) -> bool:
    while one and one != pid:
        one = parents.get(one, 0)
    return one == pid
