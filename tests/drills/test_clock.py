"""The machine's clock jumps: by a day ahead, and an hour back behind what is true."""

import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from cymba.database import utc_now
from cymba.devices.provisioning import Credentials
from cymba.settings import Settings
from cymba.stimulation.tables import StimulationSession, StoredFrame
from tests.drills.table import ROWS, DrillRow
from tests.drills.world import FRAMES_EACH, compared, scripted
from tests.end_to_end.parts import BridgeProcess, Broker, wait_until
from tests.free_ports import free_port
from tests.ops.test_workers import get
from tests.programs import GCC, needs
from workers.session_worker import SessionWorker

JUMPS = {"a day ahead": 86_400, "an hour back": -3_600}


class JumpingClock:
    """The wall clock of processes that are started with `environment`, and of `now`."""

    def __init__(self, folder: Path) -> None:
        library, self._by = folder / "jumping_clock.so", folder / "jumps_by"
        source = Path(__file__).with_name("jumping_clock.c")
        assert GCC is not None
        subprocess.run([GCC, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "JUMPS_BY": str(self._by)}
        self.jump(0)

    def jump(self, by_s: int) -> None:
        """To so many seconds from what is true."""
        self.off = timedelta(seconds=by_s)
        beside = self._by.with_suffix(".new")
        beside.write_text(str(by_s))
        beside.replace(self._by)  # a process reads the one or the other


@pytest.fixture
def clock(tmp_path: Path) -> JumpingClock:
    return JumpingClock(tmp_path)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def bridge(
    database_url: str, broker: Broker, clock: JumpingClock, port: int, tmp_path: Path
) -> Iterator[BridgeProcess]:
    made = BridgeProcess(
        tmp_path / "bridge.log",
        {
            "CYMBA_DATABASE_URL": database_url,
            "CYMBA_BROKER_URL": broker.bridge_url,
            "CYMBA_METRICS_PORT": str(port),
        }
        | clock.environment,
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
@pytest.mark.drill
@needs("gcc")
def test_a_clock_that_jumps_costs_no_frame(
    bridge: BridgeProcess,
    clock: JumpingClock,
    port: int,
    engine: Engine,
    broker: Broker,
    devices: list[Credentials],
) -> None:
    fleet = scripted(broker, devices)
    worker = SessionWorker(engine, Settings(), clock=lambda: utc_now() + clock.off)
    slowest_s = 0.0
    fleet.start()
    try:
        for number, by_s in enumerate([0, *JUMPS.values(), 0], start=1):
            clock.jump(by_s)
            began_s, freed = time.monotonic(), fleet.freed
            fleet.allow(number / 4)
            wait_until(lambda freed=freed: fleet.freed >= freed + 20, what=lambda: bridge.log)  # type: ignore[misc]
            if number > 1:  # the first began with the bridge
                slowest_s = max(slowest_s, time.monotonic() - began_s)
            assert worker.run_once().failed == []
        wait_until(lambda: fleet.done, what=lambda: f"{fleet.in_flash} are in flash\n{bridge.log}")
    finally:
        fleet.stop()
    lost, doubled = compared(fleet, engine)
    health = get(port, "/healthz")
    told = "nothing: `/healthz` is 200"
    ROWS.append(DrillRow(f"clock {', '.join(JUMPS)}", slowest_s, lost, doubled, told))
    assert (lost, doubled, health[0]) == (0, 0, 200)
    arrived = select(func.min(StoredFrame.received_at), func.max(StoredFrame.received_at))
    with engine.begin() as connection:
        ((first, last),) = connection.execute(arrived)
        assert last - first > timedelta(days=1)  # the bridge has seen the jumps
        connection.execute(text("UPDATE session_extent SET due_at = '1970-01-01Z' WHERE dirty"))
    while (done := worker.run_once()).summarised:
        assert done.failed == []
    shown = select(StimulationSession.end_reason, StimulationSession.frames_stored)
    with engine.connect() as connection:
        assert connection.execute(shown).all() == [("completed", FRAMES_EACH)] * len(devices)
    assert "error" not in bridge.log.lower()
