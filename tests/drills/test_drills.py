"""What goes wrong at three in the morning: no frame is lost or doubled, and it is told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from cymba import database
from cymba.database import BoundedConnection, make_engine
from cymba.devices.provisioning import Credentials
from cymba.heartbeat import ASKED
from cymba.settings import Settings
from mqtt_bridge import app, chores
from mqtt_bridge.app import Bridge
from ops.postgres import EmbeddedPostgres
from tests.drills.table import ROWS, DrillRow
from tests.drills.world import DrilledWorld, judge, scripted
from tests.end_to_end.parts import ROOT, Broker, wait_until
from tests.free_ports import free_port
from tests.held_database import held_database
from tests.mqtt_bridge.conftest import RunningBridge
from tests.ops.test_workers import get
from tests.programs import MOUNT, needs


@pytest.fixture
def world(
    database_url: str, broker: Broker, devices: list[Credentials], monkeypatch: pytest.MonkeyPatch
) -> Iterator[DrilledWorld]:
    """What is given up after half a minute is given up after a second here."""
    monkeypatch.setattr(BoundedConnection, "patience_s", 1.0)
    monkeypatch.setattr(database, "PING_S", 1.0)
    monkeypatch.setattr(app, "SLOW_S", 0.3)
    with held_database(database_url) as held:
        made = DrilledWorld(held, broker, scripted(broker, devices))
        yield made
        made.stop()


Fault = Callable[[DrilledWorld, Engine], Callable[[], object]]
"""Begins, and gives what ends it."""


def hole(world: DrilledWorld, _: Engine) -> Callable[[], object]:
    """Failover, NAT: what is open leads nowhere any more, and nothing says so."""
    world.held.swallow()
    return lambda: None


def silence(world: DrilledWorld, _: Engine) -> Callable[[], object]:
    """The database hangs, and so does whoever connects."""
    world.held.answers.clear()
    return world.held.answers.set


def reads_only(world: DrilledWorld, engine: Engine) -> Callable[[], object]:
    """As after a failover to a standby, or on a disk that is full."""
    name = world.engine.url.database
    admin = create_engine(engine.url, isolation_level="AUTOCOMMIT")

    def say(*statements: str) -> None:
        with admin.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        admin.dispose()

    end_others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND application_name = 'cymba' AND datname = current_database()"
    )
    say(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on', end_others)
    back = ("SET default_transaction_read_only = off", f'ALTER DATABASE "{name}" RESET ALL')
    return lambda: say(*back)


@pytest.mark.slow
@pytest.mark.drill
@pytest.mark.parametrize("fault", [hole, silence, reads_only], ids=lambda one: one.__name__)
def test_a_database_that_fails_costs_no_frame(
    world: DrilledWorld, engine: Engine, fault: Fault
) -> None:
    parts = world.bridge.bridge
    assert parts.ill_health() is None
    end = fault(world, engine)
    world.fleet.allow(0.7)  # they go on meanwhile
    told: list[str] = []

    def is_told() -> bool:
        told.extend(filter(None, [parts.ill_health()]))
        return bool(told)

    wait_until(is_told, what="it is told")
    end()
    judge(world, engine, fault.__name__.replace("_", " "), told[0])


@pytest.mark.slow
def test_a_bridge_to_which_nothing_comes_tells_of_its_database_too(
    database_url: str, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "LONG_S", 0.3)
    monkeypatch.setattr(chores, "AFTER_FAILURE_S", 0.1)
    monkeypatch.setattr(BoundedConnection, "patience_s", 1.0)
    with held_database(database_url) as held:
        engine = make_engine(held.url)
        bridge = RunningBridge(Bridge(Settings(broker_url=broker.bridge_url), engine, 0))
        told: list[str | None] = []

        def tells(word: str) -> bool:
            told.append(bridge.bridge.ill_health())
            return word in (told[-1] or "")

        try:
            wait_until(bridge.connected, what="the bridge is connected")
            held.answers.clear()
            wait_until(lambda: tells("has waited"), what="it waits")
            wait_until(lambda: tells("does not answer"), what="it was in vain")
            held.answers.set()
            wait_until(lambda: bridge.bridge.ill_health() is None, what="all is well")
        finally:
            held.answers.set()
            bridge.stop()
            engine.dispose()


@pytest.fixture
def small_disk(engine: Engine, postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB on which the frames lie, the server's own."""
    folder = postgres_server.server.pgdata.parent / f"small{tmp_path.name[-6:]}"
    folder.mkdir()
    owner = Path(f"/proc/{postgres_server.pid}").stat().st_uid
    options = f"size=2m,mode=0700,uid={owner}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    admin = create_engine(engine.url, isolation_level="AUTOCOMMIT")
    move = "ALTER TABLE frame SET TABLESPACE {0}", "ALTER INDEX pk_frame SET TABLESPACE {0}"
    try:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
            for statement in move:
                connection.exec_driver_sql(statement.format("small"))
        yield folder
        with admin.connect() as connection:
            for statement in move:
                connection.exec_driver_sql(statement.format("pg_default"))
            connection.exec_driver_sql("DROP TABLESPACE small")
    finally:
        admin.dispose()
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.drill
@needs(MOUNT)
def test_a_full_disk_costs_no_frame(small_disk: Path, world: DrilledWorld, engine: Engine) -> None:
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    world.fleet.allow(0.7)
    parts = world.bridge.bridge
    told = ""

    def is_told() -> bool:
        nonlocal told
        told = parts.ill_health() or ""
        return "DiskFull" in told

    wait_until(is_told, what="it is told")
    filler.unlink()
    judge(world, engine, "full disk", told)


@pytest.mark.slow
@pytest.mark.drill
def test_a_broker_that_was_stopped_for_a_while_costs_no_frame(
    world: DrilledWorld, engine: Engine
) -> None:
    with stopped(world.broker):
        world.fleet.allow(0.7)
        waiting = world.fleet.in_flash
        wait_until(lambda: world.fleet.in_flash > waiting, what="the devices go on")
    judge(world, engine, "stopped broker", "nothing: it was over soon")


@contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


WORKERS = {
    "seal": ["seal", "--every", "0.1"],
    "insights": ["insights", "--every", "0.1"],
    "mail": ["mail", "--every", "0.1"],
    "credentials": ["device", "passwords", "--out", "passwords", "--follow"],
}


@pytest.mark.slow
@pytest.mark.drill
def test_no_process_in_a_hole_is_deaf_to_sigterm(database_url: str, tmp_path: Path) -> None:
    """Nobody answers them, and nobody will."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CYMBA_")}
    with held_database(database_url) as held:
        environ = clean | {
            "CYMBA_DATABASE_URL": held.url,
            "CYMBA_DATA_DIR": str(tmp_path),
            "PYTHONPATH": str(ROOT),
        }
        ports = {name: free_port() for name in WORKERS}
        processes = {
            name: subprocess.Popen(
                [sys.executable, "-m", "ops", *command, "--metrics-port", str(ports[name])],
                env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL,
            )
            for name, command in WORKERS.items()
        }  # fmt: skip
        try:
            for port in ports.values():
                wait_until(lambda port=port: rounds(port) > 0, what="a round")  # type: ignore[misc]
            held.answers.clear()
            for port in ports.values():
                wait_until(lambda port=port: hangs(port), what="it hangs")  # type: ignore[misc]
            began_s = time.monotonic()
            for process in processes.values():
                process.send_signal(signal.SIGTERM)
            ended = {name: process.wait(120) for name, process in processes.items()}
        finally:
            for process in processes.values():
                process.kill()
    recovery_s = time.monotonic() - began_s
    ROWS.append(
        DrillRow("SIGTERM in a hole", recovery_s, None, None, "the process hangs, and ends")
    )
    assert ended == dict.fromkeys(WORKERS, ASKED)


def metric(port: int, name: str) -> float:
    shown = get(port, "/metrics")[1]
    found = [line.split()[1] for line in shown.splitlines() if line.startswith(f"{name} ")]
    return float(found[0]) if found else 0.0


def rounds(port: int) -> float:
    return metric(port, "cymba_worker_rounds_total")


def hangs(port: int) -> bool:
    """Rounds take a part of a second, or the two that the follower listens for."""
    return metric(port, "cymba_worker_last_round_age_seconds") > 4
