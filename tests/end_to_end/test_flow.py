"""A device that means harm costs its neighbours nothing but time, and the database nothing much.

How much time is measured by benchmarks/bench_flow.py; here it is asserted what comes of it.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.devices.provisioning import Credentials, authenticate
from cymba.devices.quotas import BUCKETS, PORTIONS, QUARANTINED, SESSIONS
from cymba.devices.rate_limits import DEVICE_FRAMES
from cymba.devices.tables import DeviceSuspension
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY, MAX_RANGES
from cymba.stimulation.tables import AckLedgerRow, QuarantinedFrame, SessionExtent, StoredFrame
from tests.end_to_end.devices import ScriptedDevice, ScriptedFleet, session_frames
from tests.end_to_end.hostile import FOREIGN_STORE
from tests.end_to_end.parts import (
    ROOT,
    BridgeProcess,
    BrokerProcess,
    DatabaseServer,
    wait_until,
)
from tests.end_to_end.shipped_mosquitto import ShippedMosquitto
from tests.programs import or_another

TESTS = 9
NEIGHBOURS = 5
FRAMES = 120


class FlowStage:
    """A bridge, a broker and a database, of which each test finds the harm of the tests before it.
    Each has devices of its own: neighbours that are live, and one that means harm."""

    hostile: Credentials
    neighbours: list[Credentials]

    def __init__(self, folder: Path) -> None:
        self.database = DatabaseServer(folder / "postgres")
        self.engine: Engine = make_engine(self.database.url)
        self._fresh = self.database.provision(TESTS * (NEIGHBOURS + 1))
        self.broker: ShippedMosquitto | BrokerProcess
        if or_another("mosquitto", "embedded") == "mosquitto":
            self.broker = ShippedMosquitto(folder / "site", self.engine)
        else:
            self.broker = BrokerProcess(self.database.url)
        self.broker.start()
        self.bridge = BridgeProcess(
            folder / "bridge.log",
            {
                "CYMBA_DATABASE_URL": self.database.url,
                "CYMBA_BROKER_URL": self.broker.bridge_url,
                "CYMBA_LOG_LEVEL": "warning",
            },
            program=("-m", "tests.end_to_end.patient_bridge"),
        )
        self.bridge.start()
        self._attacks: list[subprocess.Popen[bytes]] = []

    def take_fresh_devices(self) -> None:
        self.hostile, *self.neighbours = self._fresh[: NEIGHBOURS + 1]
        del self._fresh[: NEIGHBOURS + 1]

    def attack(self, kind: str) -> None:
        made = [self.broker.port, self.hostile.device_id, self.hostile.secret, kind]
        victim = self.neighbours[0].device_id
        command = [sys.executable, "-m", "tests.end_to_end.hostile", *map(str, made), victim]
        self._attacks.append(subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL))

    def live(self) -> ScriptedFleet:
        """The neighbours, each with frames of its own; started."""
        fleet = ScriptedFleet.of(
            self.broker.port, self.neighbours, FRAMES, frames_per_s=50, resend_s=2
        )
        fleet.start()
        return fleet

    def is_suspended(self) -> bool:
        with UnitOfWork(self.engine) as session:
            return session.get(DeviceSuspension, self.hostile.device_id) is not None

    def stored(self, device_id: str) -> int:
        with UnitOfWork(self.engine) as session:
            rows = select(func.count()).where(StoredFrame.device_id == device_id)
            return session.scalar(rows) or 0

    def end_attacks(self) -> None:
        for attack in self._attacks:
            attack.kill()
            attack.wait()
        self._attacks.clear()

    def stop(self) -> None:
        """Whatever the devices did, the bridge ends in order."""
        assert self.bridge.terminate() == 0, self.bridge.log[-3000:]
        self.broker.stop()
        self.engine.dispose()
        self.database.stop()


@pytest.fixture(scope="module")
def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowStage]:
    made = FlowStage(tmp_path_factory.mktemp("flow"))
    yield made
    made.stop()


@pytest.fixture
def stage(whole_stage: FlowStage) -> Iterator[FlowStage]:
    whole_stage.take_fresh_devices()
    yield whole_stage
    whole_stage.end_attacks()


def most_of(quota: str, run_s: float) -> float:
    bucket = BUCKETS[quota]
    return bucket.capacity + run_s / bucket.leak_s + PORTIONS[quota] + 1


def sessions_begun(session: Session, device_id: str, run_s: float) -> None:
    begun = session.scalar(select(func.count()).where(SessionExtent.device_id == device_id)) or 0
    # What the rate admits beside the burst.
    assert 0 < begun <= most_of(SESSIONS, run_s)


def stores_begun(session: Session, device_id: str, run_s: float) -> None:
    del run_s
    begun = session.scalar(select(func.count()).where(AckLedgerRow.device_id == device_id)) or 0
    assert 0 < begun <= MAX_NEW_STORES_A_DAY


def little_quarantined(session: Session, device_id: str, run_s: float) -> None:
    size = session.scalar(
        select(func.sum(func.length(QuarantinedFrame.payload))).where(
            QuarantinedFrame.device_id == device_id
        )
    )
    assert 0 < (size or 0) <= most_of(QUARANTINED, run_s) + 20_010


def few_ranges(session: Session, device_id: str, run_s: float) -> None:
    del run_s
    resolved = session.scalars(
        select(AckLedgerRow.resolved).where(AckLedgerRow.device_id == device_id)
    ).one()
    assert 0 < len(resolved) <= MAX_RANGES


def little_stored(session: Session, device_id: str, run_s: float) -> None:
    rows = select(func.count()).where(StoredFrame.device_id == device_id)
    assert 0 < (session.scalar(rows) or 0) <= DEVICE_FRAMES.burst + run_s * DEVICE_FRAMES.per_s


def nothing_of_others(session: Session, device_id: str, run_s: float) -> None:
    del device_id, run_s
    assert session.scalar(select(func.count()).where(StoredFrame.store == FOREIGN_STORE)) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        ("flood", little_stored),
        ("huge", little_quarantined),
        ("poison", little_quarantined),
        ("sessions", sessions_begun),
        ("stores", stores_begun),
        ("holes", few_ranges),
        ("foreign", nothing_of_others),
    ],
)
def test_its_neighbours_frames_arrive_all_and_its_own_are_bounded(
    stage: FlowStage, kind: str, holds: Callable[[Session, str, float], None]
) -> None:
    began_s = time.monotonic()
    stage.attack(kind)
    if kind != "foreign":  # of that the broker lets nothing through that one could wait for
        table = QuarantinedFrame if kind in {"huge", "poison"} else StoredFrame

        def begun() -> bool:
            with UnitOfWork(stage.engine) as session:
                rows = select(func.count()).where(table.device_id == stage.hostile.device_id)
                return bool(session.scalar(rows))

        wait_until(begun, what=lambda: f"the attack\n{stage.bridge.log[-3000:]}")
    fleet = stage.live()
    try:
        wait_until(
            lambda: fleet.done,
            what=lambda: f"{fleet.in_flash} frames are still in flash\n{stage.bridge.log[-3000:]}",
        )
    finally:
        fleet.stop()
    assert [stage.stored(one.device_id) for one in stage.neighbours] == [FRAMES] * NEIGHBOURS
    assert [device.rejected for device in fleet.devices] == [[]] * NEIGHBOURS
    with UnitOfWork(stage.engine) as session:
        holds(session, stage.hostile.device_id, time.monotonic() - began_s)
    # What the broker drops by itself need not be stopped.
    if kind != "foreign":
        wait_until(stage.is_suspended, what=lambda: stage.bridge.log[-3000:])


@pytest.mark.slow
def test_a_flood_is_cut_off_and_may_come_back_when_its_time_is_over(stage: FlowStage) -> None:
    stage.attack("flood")
    hostile = stage.hostile.device_id

    wait_until(stage.is_suspended, what=lambda: stage.bridge.log[-3000:])
    stage.end_attacks()
    with UnitOfWork(stage.engine) as session, session.begin():
        assert not authenticate(session, hostile, stage.hostile.secret)
        session.get_one(DeviceSuspension, hostile).until = utc_now()
    wait_until(lambda: not stage.is_suspended(), what="the suspension ends")
    frames = session_frames(store=77, count=5, seed=77)
    late = ScriptedDevice(hostile, stage.hostile.secret, stage.broker.port, frames,
                  frames_per_s=5, resend_s=2.0)  # fmt: skip
    fleet = ScriptedFleet([late])
    fleet.start()
    try:
        wait_until(lambda: fleet.done, what=lambda: f"{fleet.in_flash} are left")
    finally:
        fleet.stop()


@pytest.mark.slow
def test_a_backlog_beyond_its_burst_is_slowed_down_and_arrives_whole(stage: FlowStage) -> None:
    count = int(DEVICE_FRAMES.burst) + 500
    one = stage.neighbours[0]
    device = ScriptedDevice(
        one.device_id, one.secret, stage.broker.port,
        session_frames(store=5, count=count, seed=5), frames_per_s=1e6, resend_s=1.0,
    )  # fmt: skip
    fleet = ScriptedFleet([device])
    fleet.start()
    try:
        wait_until(lambda: fleet.done, what=lambda: f"{fleet.in_flash} are left")
    finally:
        fleet.stop()
    assert stage.stored(one.device_id) == count
