"""Lives that are over in a moment, and what they leave in flash."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from cymba.broker_address import BrokerAddress
from firmware.brokers import DeviceBrokers
from simulator.clock import WorldClock
from simulator.device import Counters, SimulatedDevice
from simulator.faults import CLEAN, Behaviour, Profile
from simulator.life import Life, Lived, Rhythm, Schedule
from simulator.link import Link
from simulator.seeding import stream
from tests.simulator.network import BEGAN_AT, KEY, Join, Network

HOUR_MS = 3_600_000.0

MakeLife = Callable[..., Life]
LiveOn = Callable[..., list[Lived]]


@pytest.fixture
def make_life() -> MakeLife:
    def make(
        device_id: str = "device-0001",
        model: str = "ear_cymba",
        *,
        seed: int = 1,
        began_at: datetime = BEGAN_AT,
        profile: Profile = CLEAN,
        schedule: Schedule | None = None,
        behaviour: Behaviour | None = None,
    ) -> Life:
        return Life(
            device_id,
            model,
            seed=seed,
            began_at=began_at,
            profile=profile,
            schedule=schedule,
            behaviour=behaviour,
        )

    return make


@pytest.fixture
def live_on() -> LiveOn:
    """All that a life leaves in its first hours."""

    def live(life: Life, hours: float = 6.0) -> list[Lived]:
        clock = life.clock_of(life.first_boot, 0.0, dated=True)
        return list(life.lived(0.0, hours * HOUR_MS, clock))

    return live


@pytest.fixture
def join(make_life: MakeLife) -> Join:
    def make(
        *,
        profile: Profile = CLEAN,
        behaviour: Behaviour = Behaviour(),  # noqa: B008 - frozen
        speed: float = 1.0,
        past: timedelta = timedelta(0),
        **network: Any,
    ) -> Network:
        world = WorldClock(BEGAN_AT, 0.0, speed, past)
        joined = Network(**network)
        rng = stream(1, "network")
        joined.device = SimulatedDevice(
            make_life(
                profile=profile, behaviour=behaviour, began_at=world.began_at,
                schedule=Rhythm(pause_s=(60.0, 120.0)),
            ),
            brokers=DeviceBrokers(
                BrokerAddress("127.0.0.1", 1883), "device-0001", KEY.public_key()
            ),
            world=world,
            link=Link(profile.loss, profile.outages, rng),
            profile=profile,
            behaviour=behaviour,
            connect=joined.connect,
            counters=Counters(),
            rng=rng,
            programme_key=KEY.public_key(),
        )  # fmt: skip
        return joined

    return make
