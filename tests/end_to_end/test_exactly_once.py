"""The promise: a frame is stored exactly once, whatever is killed while it is on its way.

20 devices make 20,000 frames while the bridge, the broker and the database are each killed with
SIGKILL at random moments. The same harness, with a bridge that acks before it commits, must lose
frames: or it could not tell.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from cymba.database import make_engine
from cymba.stimulation.tables import QuarantinedFrame, StoredFrame
from tests.drills.table import ROWS, DrillRow
from tests.end_to_end.devices import ScriptedDevice, ScriptedFleet, session_frames
from tests.end_to_end.parts import (
    BridgeProcess,
    Broker,
    BrokerProcess,
    DatabaseServer,
    MosquittoBroker,
    wait_until,
)
from tests.programs import or_another

DEVICES = 20
FRAMES_EACH = 1_000
FRAMES_PER_S = 40.0  # of one device: between two kills they make frames for 2 s
RESEND_S = 1.5  # 30 s in the protocol; here time is dear
KILLS = ["bridge", "bridge", "bridge", "bridge", "broker", "broker", "broker",
         "database", "database", "database", "bridge", "broker"]  # fmt: skip
HASTY = ("-m", "tests.end_to_end.ack_before_commit")


@dataclass
class RunningParts:
    database: DatabaseServer
    broker: Broker
    bridge: BridgeProcess
    fleet: ScriptedFleet
    slowest_s: float = 0.0  # from a start until frames flow again

    def kill_one_by_one(self, names: list[str]) -> None:
        """Kill each part at a random moment at which frames are on their way: the devices make
        an equal share of theirs before each kill, and one after the last."""
        for number, name in enumerate(names, start=1):
            self.fleet.allow(number / (len(names) + 1))
            self._kill_and_restart(name)
        self.fleet.allow(1)

    def _kill_and_restart(self, name: str) -> None:
        freed, began_s = self.fleet.freed, time.monotonic()
        wait_until(
            lambda: self.fleet.freed >= freed + 100,
            what=lambda: f"frames flow again\n{self.bridge.log[-5000:]}",
        )
        self.slowest_s = max(self.slowest_s, time.monotonic() - began_s)
        time.sleep(random.uniform(0, 1))
        parts: dict[str, Any] = {
            "bridge": self.bridge, "broker": self.broker, "database": self.database,
        }  # fmt: skip
        part = parts[name]
        part.kill()
        time.sleep(random.uniform(0, 0.3))
        part.start()


MakeWorld = Callable[..., RunningParts]


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Start all the parts; `devices` devices of `frames` frames each are ready to go."""
    worlds: list[RunningParts] = []

    def make(
        kind: str, *, devices: int = DEVICES, frames: int = FRAMES_EACH,
        frames_per_s: float = FRAMES_PER_S, program: tuple[str, ...] | None = None,
    ) -> RunningParts:  # fmt: skip
        database = DatabaseServer(tmp_path / "postgres")
        credentials = database.provision(devices)
        broker: Broker
        if kind == "mosquitto":
            broker = MosquittoBroker(
                tmp_path / "mosquitto", {one.device_id: one.secret for one in credentials}
            )
        else:
            broker = BrokerProcess(database.url)
        broker.start()
        bridge = BridgeProcess(
            tmp_path / "bridge.log",
            {
                "CYMBA_DATABASE_URL": database.url,
                "CYMBA_BROKER_URL": broker.bridge_url,
                "CYMBA_LOG_LEVEL": "info",
            },
            **({"program": program} if program else {}),  # type: ignore[arg-type]
        )
        bridge.start()
        fleet = ScriptedFleet(
            [
                ScriptedDevice(
                    one.device_id, one.secret, broker.port,
                    session_frames(store=1_000 + number, count=frames, seed=number),
                    frames_per_s=frames_per_s, resend_s=RESEND_S, cbor=number % 4 == 0,
                )
                for number, one in enumerate(credentials)
            ]
        )  # fmt: skip
        world = RunningParts(database, broker, bridge, fleet)
        worlds.append(world)
        return world

    yield make
    for world in worlds:
        world.fleet.stop()
        world.bridge.stop()
        world.broker.stop()
        world.database.stop()


def stored(world: RunningParts) -> dict[tuple[str, int, int], bytes]:
    engine = make_engine(world.database.url)
    key = (StoredFrame.device_id, StoredFrame.store, StoredFrame.seq)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(QuarantinedFrame)) == 0
        rows = {
            (row[0], row[1], row[2]): row[3]
            for row in connection.execute(select(*key, StoredFrame.digest))
        }
    engine.dispose()
    return rows


@pytest.mark.slow
@pytest.mark.drill
@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_each_frame_is_stored_exactly_once_through_every_kill(
    make_world: MakeWorld, broker: str
) -> None:
    world = make_world(or_another(broker, "embedded"))
    order = random.sample(KILLS, len(KILLS))
    print("killing", order)  # noqa: T201 - shown when it fails
    world.fleet.start()
    world.kill_one_by_one(order)
    wait_until(
        lambda: world.fleet.done,
        what=lambda: (
            f"{world.fleet.in_flash} frames are still in flash\n{world.bridge.log[-5000:]}"
        ),
    )
    assert [device.rejected for device in world.fleet.devices] == [[]] * DEVICES
    made = world.fleet.digests()
    assert len(made) == DEVICES * FRAMES_EACH
    there = stored(world)
    lost, strange = len(made.keys() - there.keys()), len(there.keys() - made.keys())
    told = "the bridge's log; no part needed a hand"
    drill = f"{len(KILLS)} kills, {broker}"
    ROWS.append(DrillRow(drill, world.slowest_s, lost, strange, told))
    assert there == made  # the primary key says that none is there twice
    assert world.bridge.terminate() == 0


@pytest.mark.slow
def test_a_bridge_that_acks_before_it_commits_loses_frames(make_world: MakeWorld) -> None:
    world = make_world(or_another("mosquitto", "embedded"), frames=500, program=HASTY)
    world.fleet.start()
    world.kill_one_by_one(["bridge"] * 4)
    wait_until(lambda: world.fleet.done, what="the devices believe all is stored")
    lost = world.fleet.digests().keys() - stored(world).keys()
    assert lost
