"""Lives that are over in a moment, and what they leave in flash."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from simulator.faults import CLEAN, Behaviour, Profile
from simulator.life import Life, Lived, Schedule

BEGAN_AT = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
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
