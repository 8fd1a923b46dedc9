"""What is broken in a drill, and how it is judged."""

import time

from sqlalchemy import Engine, select

from cymba.database import make_engine
from cymba.devices.provisioning import Credentials
from cymba.settings import Settings
from cymba.stimulation.tables import StoredFrame
from mqtt_bridge.app import Bridge
from tests.drills.storm import Storm
from tests.drills.table import ROWS, DrillRow
from tests.end_to_end.devices import ScriptedFleet
from tests.end_to_end.parts import Broker, wait_until
from tests.held_database import HeldDatabase
from tests.mqtt_bridge.conftest import RunningBridge

FRAMES_EACH = 150
FRAMES_PER_S = 50.0
RESEND_S = 1.5


def scripted(broker: Broker, devices: list[Credentials]) -> ScriptedFleet:
    return ScriptedFleet.of(
        broker.port, devices, FRAMES_EACH, frames_per_s=FRAMES_PER_S, resend_s=RESEND_S
    )


class DrilledWorld:
    """A fleet that sends, a bridge, and the database behind a line that the drill breaks."""

    def __init__(
        self,
        held: HeldDatabase,
        broker: Broker,
        fleet: ScriptedFleet | Storm,
        url: str | None = None,
    ) -> None:
        """`url`: for the bridge, where it is not the held database alone."""
        self.held, self.broker = held, broker
        self.engine = make_engine(url or held.url)
        self.bridge = RunningBridge(Bridge(Settings(broker_url=broker.bridge_url), self.engine, 0))
        wait_until(self.bridge.connected, what="the bridge is connected")
        self.fleet = fleet
        self.fleet.allow(0.4)
        self.fleet.start()
        self.flows()

    def flows(self, more: int = 20) -> None:
        freed = self.fleet.freed
        wait_until(lambda: self.fleet.freed >= freed + more, what="frames are freed")

    def stop(self) -> None:
        self.held.answers.set()
        self.fleet.stop()
        self.bridge.stop()
        self.engine.dispose()


def judge(world: DrilledWorld, engine: Engine, drill: str, operator_saw: str) -> None:
    """Now that the fault is over, every frame is stored as it was made."""
    ended_s = time.monotonic()
    world.flows()
    recovery_s = time.monotonic() - ended_s
    world.fleet.allow(1)
    wait_until(lambda: world.fleet.done, what=lambda: f"{world.fleet.in_flash} frames are in flash")
    lost, doubled = compared(world.fleet, engine)
    ROWS.append(DrillRow(drill, recovery_s, lost, doubled, operator_saw))
    assert (lost, doubled) == (0, 0)
    wait_until(lambda: world.bridge.bridge.ill_health() is None, what="all is well again")


def compared(fleet: ScriptedFleet | Storm, engine: Engine) -> tuple[int, int]:
    """How many frames are not stored as they were made, and how many there are too many. The
    primary key says that none is there twice, so what is too many is a frame that nobody made."""
    key = (StoredFrame.device_id, StoredFrame.store, StoredFrame.seq)
    with engine.connect() as connection:
        rows = connection.execute(select(*key, StoredFrame.digest)).all()
    stored = {((device_id, store, seq), digest) for device_id, store, seq, digest in rows}
    made = set(fleet.digests().items())
    return len(made - stored), len(stored - made)
