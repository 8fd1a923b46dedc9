"""All devices come at once: when a broker is back, or a network."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.provisioning import Credentials
from tests.drills.storm import Storm
from tests.drills.world import DrilledWorld, judge
from tests.end_to_end.parts import Broker, people_with_devices, wait_until
from tests.held_database import held_database

DEVICES, FRAMES_EACH = 1_000, 10


@pytest.fixture
def devices(engine: Engine) -> list[Credentials]:
    """Each held by a person of its own."""
    with UnitOfWork(engine) as session, session.begin():
        return people_with_devices(session, DEVICES)


@pytest.fixture
def storm(
    database_url: str, broker: Broker, devices: list[Credentials]
) -> Iterator[tuple[DrilledWorld, Storm]]:
    fleet = Storm(broker.port, devices, FRAMES_EACH)
    with held_database(database_url) as held:
        world = DrilledWorld(held, broker, fleet)
        yield world, fleet
        world.stop()


@pytest.mark.slow
@pytest.mark.drill
def test_all_devices_at_once_cost_no_frame(
    storm: tuple[DrilledWorld, Storm], engine: Engine
) -> None:
    world, fleet = storm
    wait_until(lambda: fleet.online == DEVICES, what="all are connected")
    world.broker.kill()
    wait_until(lambda: fleet.online == 0, what="all are cut off")
    fleet.allow(0.7)
    told: list[str] = []

    def is_told() -> bool:
        told.extend(filter(None, [world.bridge.bridge.ill_health()]))
        return bool(told)

    wait_until(is_told, what="it is told")
    world.broker.start()
    judge(world, engine, f"{DEVICES:,} devices at once", told[0])
    assert fleet.online == DEVICES
