"""Frames durably stored a second by one bridge and by two, beside what could be done at all.

python -m benchmarks.bench_bridge [--rounds 3] [--frames 200] [--profile]
[--latency RATE]

A thousand devices, each with a connection of its own and 20 frames outstanding, publish over a
real Mosquitto in the shipped configuration; the PostgreSQL has its durability on. The ways take
turns in each round, so that what else the machine does falls on all alike. All of it shares one
machine: broker, database and load take their cores from the bridge.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from sqlalchemy import text

from benchmarks.bridge_run import DEVICES, BridgeRun, tree_cpu_s
from tests.end_to_end.parts import BRIDGE_SECRET, ROOT, wait_until

NAIVE_SHARE = 0.02  # of the frames: it would take all day
LATENCY_SECONDS = 15.0
NODE_KILL_FRAMES = 100_000


@dataclass
class Way:
    name: str
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of the consumer, for each frame
    others_us: dict[str, list[float]] = field(default_factory=dict)  # of broker and database

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)


def play_bridges(stage: BridgeRun, way: Way, slots: int) -> None:
    with stage.fresh(), stage.bridges(slots) as pids:
        others = {"Mosquitto": stage.broker.pid, "PostgreSQL": stage.database.pid}
        before = sum(map(tree_cpu_s, pids))
        before_s = {name: tree_cpu_s(pid) for name, pid in others.items()}
        result = stage.load(stage.frames).result()
        spent = sum(map(tree_cpu_s, pids)) - before
        for name, pid in others.items():
            spent_s = tree_cpu_s(pid) - before_s[name]
            way.others_us.setdefault(name, []).append(spent_s / stage.total * 1e6)
        assert result["frames"] == stage.total, f"{result['frames']:.0f} of {stage.total} acked"
        with stage.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM frame")) == stage.total
    way.rates.append(result["rate"])
    way.cpu_us.append(spent / stage.total * 1e6)


def play_python(stage: BridgeRun, way: Way, kind: str, frames: int) -> None:
    with stage.fresh():
        count = frames * len(stage.devices)
        command = [sys.executable, "-m", "benchmarks.mqtt_peers", kind, stage.broker.bridge_url,
                   str(count), stage.database.url]  # fmt: skip
        _play_peer(stage, way, command, frames)


def play_node(stage: BridgeRun, way: Way, node: Path, acks: str) -> None:
    """`acks`: "before" it commits, or "after" it, with receipts, as the bridge does."""
    with stage.fresh():
        command = node_command(stage, node, stage.total, acks)
        _play_peer(stage, way, command, stage.frames, receipts=acks == "after")


def _play_peer(
    stage: BridgeRun, way: Way, command: list[str], frames: int, *, receipts: bool = False
) -> None:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        stage.load(frames, receipts=receipts).result()
        measured = json.loads(peer.stdout.readline())
    way.rates.append(measured["rate"])
    way.cpu_us.append(measured["cpu_s"] / (frames * len(stage.devices)) * 1e6)


def node_command(stage: BridgeRun, node: Path, count: int, acks: str = "before") -> list[str]:
    port = urlsplit(stage.broker.bridge_url).port
    return ["node", str(node / "consumer.mjs"), f"mqtt://127.0.0.1:{port}", "bridge-0",
            BRIDGE_SECRET, stage.database.url, str(count), acks]  # fmt: skip


def node_loss(stage: BridgeRun, node: Path) -> int:
    """Frames lost for good when the Node consumer is killed and started again: as many as it had
    read ahead of its writes at that moment, which may be none."""
    frames = NODE_KILL_FRAMES // len(stage.devices)
    count = frames * len(stage.devices)
    with stage.fresh():
        first = subprocess.Popen(
            node_command(stage, node, count), stdout=subprocess.PIPE, text=True
        )
        assert first.stdout is not None
        assert first.stdout.readline() == "ready\n"
        loading = stage.load(frames, receipts=False)
        wait_until(lambda: rows(stage, "node_frame") > count // 10, what="it stores")
        first.kill()
        first.wait()
        second = subprocess.Popen(
            node_command(stage, node, count), stdout=subprocess.PIPE, text=True
        )
        loading.result()
        before = -1
        while before != (now := rows(stage, "node_frame", "DISTINCT (device_id, body->>'seq')")):
            before = now
            time.sleep(3)
        second.kill()
        second.wait()
        return count - before


def rows(stage: BridgeRun, table: str, counted: str = "*") -> int:
    with stage.engine.connect() as connection:
        count = text(f"SELECT count({counted}) FROM {table}")  # noqa: S608 - ours
        return connection.scalar(count) or 0


def install_node(folder: Path) -> Path | None:
    """The Node consumer with its packages; None, with a word, where that cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        print("node is not installed: its consumer is left out\n")
        return None
    target = folder / "node_consumer"
    shutil.copytree(ROOT / "benchmarks" / "node_consumer", target)
    done = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=target, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        print(f"npm install failed, so the Node consumer is left out:\n{done.stderr}\n")
        return None
    return target


@dataclass
class Latency:
    rate: float
    commit_ms: np.ndarray[Any, np.dtype[np.float64]]
    receipt_ms: np.ndarray[Any, np.dtype[np.float64]]


def measure_latency(stage: BridgeRun, rate: float) -> Latency:
    """The bridge's, from a frame's publish to its commit, by PostgreSQL's own commit timestamps,
    and to the device's receipt; the first two seconds are left out."""
    frames = max(1, int(rate * LATENCY_SECONDS) // len(stage.devices))
    with stage.fresh(), stage.bridges(1):
        return _latency(stage, rate, frames, "SELECT device_id, seq, {committed_at} FROM frame")


def measure_bare_latency(stage: BridgeRun, rate: float) -> Latency:
    """The floor's."""
    frames = max(1, int(rate * LATENCY_SECONDS) // len(stage.devices))
    with stage.fresh(), bare_peer(stage, frames * len(stage.devices)):
        return _latency(
            stage, rate, frames,
            "SELECT split_part(topic, '/', 3), (convert_from(payload, 'UTF8')::json->>'seq')::int,"
            " {committed_at} FROM bare_frame",
        )  # fmt: skip


@contextmanager
def bare_peer(stage: BridgeRun, count: int) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.mqtt_peers", "bare", stage.broker.bridge_url,
               str(count), stage.database.url]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline() == "ready\n"
        yield
        peer.kill()


def _latency(stage: BridgeRun, rate: float, frames: int, query: str) -> Latency:
    times_file = stage.folder / "times.npz"
    loading = stage.load(frames, rate=rate, times_file=str(times_file))
    count = frames * len(stage.devices)
    assert loading.result()["frames"] == count
    table = query.rsplit(maxsplit=1)[1]
    wait_until(lambda: rows(stage, table) == count, what="all are committed")
    places = {one.device_id: number for number, one in enumerate(stage.devices)}
    committed_at = np.zeros((len(places), frames + 1))
    query = query.format(committed_at="extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8")
    with stage.engine.connect() as connection:
        for device_id, seq, at in connection.execute(text(query)):
            committed_at[places[device_id], seq] = at
    times = np.load(times_file)
    published_at = times["published_at"]
    counted = (published_at > 0) & (published_at > published_at[published_at > 0].min() + 2)
    return Latency(
        rate,
        (committed_at - published_at)[counted] * 1000,
        (times["acked_at"] - published_at)[counted] * 1000,
    )


def percentiles(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    return " / ".join(f"{value:.1f}" for value in np.percentile(values, [50, 99]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=200, help="of each of the 1,000 devices")
    parser.add_argument("--profile", action="store_true", help="one bridge only, under cProfile")
    parser.add_argument("--latency", type=float, metavar="RATE", help="only that, at frames/s")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-bridge-") as name:
        Path(name).chmod(0o755)
        stage = BridgeRun(Path(name), given.frames, given.profile)
        try:
            if given.profile:
                play_bridges(stage, Way("profiled"), 1)
                print((stage.folder / "bridge-0.log").read_text())
                return
            if given.latency is not None:
                for _ in range(given.rounds):
                    print_latencies(stage, given.latency)
                return
            play_all(stage, given.rounds)
        finally:
            stage.stop()


def play_all(stage: BridgeRun, rounds: int) -> None:
    node = install_node(stage.folder)
    one, two, empty, naive, peer, equal = (
        Way(name)
        for name in ("one bridge", "two bridges", "a paho consumer that does nothing",
                     "the naive way: on_message, a row a sample, commit",
                     "Node: mqtt.js, pg, batches of JSONB; acks before it commits",
                     "the same; receipts and acks after it commits, as the bridge")
    )  # fmt: skip
    plays: list[Callable[[], None]] = [
        lambda: play_python(stage, empty, "empty", stage.frames),
        lambda: play_bridges(stage, one, 1),
        lambda: play_bridges(stage, two, 2),
        lambda: play_python(stage, naive, "naive", max(1, int(stage.frames * NAIVE_SHARE))),
    ]
    if node is not None:
        plays.append(lambda: play_node(stage, peer, node, "before"))
        plays.append(lambda: play_node(stage, equal, node, "after"))
    print(f"{os.cpu_count()} cores for all; load average before: {os.getloadavg()[0]:.1f}")
    for number in range(rounds):
        for play in plays:
            play()
        print(f"round {number + 1} of {rounds} done", flush=True)
    print(
        f"\n| {stage.total:,} frames of {DEVICES:,} devices | frames/s | of one bridge "
        "| CPU of the consumer, µs a frame | rounds |"
    )
    print("|---|---:|---:|---:|---|")
    for way in (one, two, empty, naive, peer, equal):
        if way.rates:
            spread = ", ".join(f"{rate:,.0f}" for rate in way.rates)
            print(f"| {way.name} | {way.rate:,.0f} | {way.rate / one.rate:.2f} | "
                  f"{statistics.median(way.cpu_us):.0f} | {spread} |")  # fmt: skip
    for name, spent in one.others_us.items():
        cpu_us = statistics.median(spent)
        print(f"\n{name} beside one bridge: {cpu_us:.0f} µs of CPU a frame; "
              f"a core of it carries {1e6 / cpu_us:,.0f} frames/s", end="")  # fmt: skip
    print(f"\n\none bridge / naive: {one.rate / naive.rate:.0f}   (goal 20)")
    print(f"one bridge / empty consumer: {one.rate / empty.rate:.2f}   (goal 1.2)")
    print(f"two bridges / one: {two.rate / one.rate:.2f}   (goal 1.5)")
    if node is not None:
        print(f"one bridge / Node that acks after it commits: {one.rate / equal.rate:.2f}"
              "   (goal 1.1)")  # fmt: skip
        losses = [node_loss(stage, node) for _ in range(rounds)]
        lost = ", ".join(f"{one:,}" for one in losses)
        print(f"the Node consumer, killed once: of {NODE_KILL_FRAMES:,} frames lost {lost}")
    print("\nat half load:")
    print_latencies(stage, one.rate / 2)


def print_latencies(stage: BridgeRun, rate: float) -> None:
    ours, bare = measure_latency(stage, rate), measure_bare_latency(stage, rate)
    print(f"{rate:,.0f} frames/s, of {len(ours.commit_ms):,} frames, p50 / p99 in ms")
    print(f"publish to commit: {percentiles(ours.commit_ms)}   (goals 3 / 20)")
    print(f"publish to the device's receipt: {percentiles(ours.receipt_ms)}")
    print(f"of the bare store: {percentiles(bare.commit_ms)}, {percentiles(bare.receipt_ms)}",
          flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
