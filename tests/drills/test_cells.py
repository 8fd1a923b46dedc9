"""Two cells: a broker each, a bridge each, one database. One broker is killed while a device moves
away from it."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine, select

from cymba.database import UnitOfWork, utc_now
from cymba.devices import cells, moving
from cymba.devices.provisioning import Credentials
from cymba.devices.tables import CellMove, Device, RetainedWithdrawal
from cymba.settings import FIRST_CELL
from cymba.stimulation.tables import StoredFrame
from mqtt_bridge.app import Bridge
from ops import mosquitto_files
from ops.mosquitto_files import Follower
from tests.devices.test_cells import set_version
from tests.drills.table import ROWS, DrillRow
from tests.end_to_end.devices import ScriptedFleet
from tests.end_to_end.parts import wait_until
from tests.end_to_end.shipped_mosquitto import PASSWORDS, ShippedMosquitto, call
from tests.mqtt_bridge.conftest import RunningBridge
from tests.programs import needs

NORTH = "north"
FRAMES_EACH = 150
FRAMES_PER_S = 50.0
KEY = Ed25519PrivateKey.generate()


class FollowedMosquitto(ShippedMosquitto):
    """The shipped one, with the follower of its files in a thread."""

    def __init__(self, folder: Path, engine: Engine, cell: str) -> None:
        super().__init__(folder, engine, cell=cell)
        self._leaving = threading.Event()
        self._follower = Follower(
            engine,
            {
                self.credentials / "revoked": mosquitto_files.revoked,
                self.credentials / "passwords": mosquitto_files.passwords,
            },
            cell,
        )
        self._thread = threading.Thread(target=self._follow)

    def follow(self) -> None:
        self._thread.start()
        wait_until((self.credentials / "passwords").exists, what="the devices' file is written")

    def stop(self) -> None:
        super().stop()
        self._leaving.set()
        self._thread.join()
        self._follower.close()

    def _follow(self) -> None:
        while not self._leaving.is_set():
            self._follower.run_once()

    def retained(self, device_id: str) -> set[str]:
        """The topics of the device under which its broker retains something."""
        last = ("cymba/v1/the-last-0001/down/ack", b"last")
        bridge = call(self.port, "bridge-1", PASSWORDS["BRIDGE_PASSWORD"])
        bridge.say(*last, retain=True)
        listener = call(self.port, "conformance", PASSWORDS["CONFORMANCE_PASSWORD"])
        assert listener.subscribe(f"cymba/v1/{device_id}/#")
        assert listener.subscribe(last[0])  # what is retained comes with each subscription
        wait_until(lambda: last in listener.heard, what="all that is retained is heard")
        for one in (bridge, listener):
            one.leave()
        topics = (topic for topic, payload in listener.heard if payload)
        return {topic.partition(f"/{device_id}/")[2] for topic in topics} - {""}


class TwoCells:
    def __init__(self, folder: Path, engine: Engine, devices: list[Credentials]) -> None:
        self.engine, self.devices = engine, devices
        self._stack = ExitStack()
        self.brokers: dict[str, FollowedMosquitto] = {}
        self.fleets: dict[str, ScriptedFleet] = {}
        here, there = devices[:2], devices[2:]
        for cell in (FIRST_CELL, NORTH):
            self.brokers[cell] = FollowedMosquitto(folder / cell, engine, cell)
        with UnitOfWork(engine) as session, session.begin():
            for cell, broker in self.brokers.items():
                cells.add(session, cell, f"mqtt://127.0.0.1:{broker.port}", utc_now())
            for one in there:
                session.get_one(Device, one.device_id).cell = NORTH
        for cell, residents in ((FIRST_CELL, here), (NORTH, there)):
            broker = self.brokers[cell]
            self._stack.callback(broker.stop)
            broker.start()
            bridge = RunningBridge(Bridge(broker.settings, engine, 0))
            self._stack.callback(bridge.stop)
            wait_until(bridge.connected, what="the bridge is connected")
            fleet = ScriptedFleet.of(
                broker.port, residents, FRAMES_EACH, frames_per_s=FRAMES_PER_S, resend_s=1.5
            )
            fleet.allow(0)
            fleet.start()
            self._stack.callback(fleet.stop)
            self.fleets[cell] = fleet

    def stop(self) -> None:
        self._stack.close()

    def flows(self, cell: str, share: float) -> None:
        """Up to this share of all frames is made in a cell, and acknowledged."""
        fleet = self.fleets[cell]
        fleet.allow(share)
        count = len(fleet.devices) * round(share * FRAMES_EACH)
        wait_until(lambda: fleet.freed >= count, what=lambda: self.brokers[cell].log)

    def cell_of(self, device_id: str) -> str | None:
        with UnitOfWork(self.engine) as session:
            return session.scalar(select(Device.cell).where(Device.id == device_id))

    def is_told(self, device_id: str) -> bool:
        with UnitOfWork(self.engine) as session:
            move = session.get(CellMove, device_id)
            return move is None or move.told_at is not None


@pytest.fixture
def world(tmp_path: Path, engine: Engine, devices: list[Credentials]) -> Iterator[TwoCells]:
    with ExitStack() as stack:
        made = TwoCells(tmp_path, engine, devices)
        stack.callback(made.stop)
        yield made


@pytest.mark.slow
@pytest.mark.drill
@needs("mosquitto")
def test_a_device_moves_away_from_a_broker_that_dies_and_no_frame_is_lost_or_doubled(
    world: TwoCells, engine: Engine
) -> None:
    old, new = world.brokers[FIRST_CELL], world.brokers[NORTH]
    mover, native = world.devices[0], world.devices[2]
    for cell in (FIRST_CELL, NORTH):
        world.flows(cell, 0.3)
    assert not call(old.port, native.device_id, native.secret).entered
    with UnitOfWork(engine) as session, session.begin():
        set_version(session, mover.device_id, at=utc_now())
    wait_until(lambda: "down/desired" in old.retained(mover.device_id), what="it is retained")
    with UnitOfWork(engine) as session, session.begin():
        moving.ask(session, KEY, mover.device_id, NORTH, utc_now())
    world.fleets[FIRST_CELL].allow(0.6)  # it goes on with its session meanwhile
    wait_until(lambda: world.is_told(mover.device_id), what="it is told")
    assert "down/desired" in new.retained(mover.device_id)
    old.kill_broker()
    killed_s = time.monotonic()
    world.flows(NORTH, 0.6)  # nobody else is disturbed
    wait_until(lambda: world.cell_of(mover.device_id) == NORTH, what=lambda: new.log)
    took_s = time.monotonic() - killed_s
    with UnitOfWork(engine) as session:
        waiting = session.get_one(RetainedWithdrawal, mover.device_id)
        assert waiting.cells == [FIRST_CELL]  # until that broker is back
    old.start_broker()
    wait_until(lambda: not old.retained(mover.device_id), what=lambda: old.log)
    assert not call(old.port, mover.device_id, mover.secret).entered
    for fleet in world.fleets.values():
        fleet.allow(1)
    wait_until(lambda: all(fleet.done for fleet in world.fleets.values()), what=lambda: new.log)
    made = {key: value for fleet in world.fleets.values() for key, value in fleet.digests().items()}
    with UnitOfWork(engine) as session:
        key = (StoredFrame.device_id, StoredFrame.store, StoredFrame.seq)
        stored = {(row[0], row[1], row[2]): row[3]
                  for row in session.execute(select(*key, StoredFrame.digest))}  # fmt: skip
    lost, strange = len(made.keys() - stored.keys()), len(stored.keys() - made.keys())
    told = "the other cell: nothing; this one's bridge: not connected to the broker"
    ROWS.append(DrillRow("two cells, one killed in a move", took_s, lost, strange, told))
    assert stored == made
    assert [device.rejected for fleet in world.fleets.values() for device in fleet.devices] == [
        []
    ] * 4
