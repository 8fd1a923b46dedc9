from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.clock import RealTimeClock, SimulatedBootClock, WorldClock, default_past, epoch_ms

STARTED_AT = datetime(2026, 3, 1, tzinfo=UTC)
SPEEDS = st.floats(1.01, 10_000)
PASTS = st.timedeltas(timedelta(0), timedelta(days=400))


@given(SPEEDS, PASTS, st.floats(0, 1e6))
def test_no_moment_of_the_world_is_in_the_future(
    speed: float, past: timedelta, elapsed_s: float
) -> None:
    world = WorldClock(STARTED_AT, 1000.0, speed, past)
    real_ms = epoch_ms(STARTED_AT) + elapsed_s * 1000.0
    lived_ms = epoch_ms(world.began_at) + world.at(1000.0 + elapsed_s)
    assert lived_ms <= real_ms + 0.01


@given(SPEEDS, PASTS, st.floats(0, 1e10))
def test_the_moment_it_reaches_is_when_it_says(
    speed: float, past: timedelta, world_ms: float
) -> None:
    world = WorldClock(STARTED_AT, 0.0, speed, past)
    when_s = world.when(world_ms)
    assert world.at(when_s + 1e-3) >= world_ms
    # Nothing is lived between the end of the past and the present that it then meets.
    if not world.past_ms <= world_ms <= world.caught_up_ms:
        assert world.at(when_s - 1e-3) <= world_ms + 1.0 if when_s > 1e-3 else True


def test_a_world_at_speed_one_is_the_real_one() -> None:
    world = WorldClock(STARTED_AT, 50.0)
    assert world.began_at == STARTED_AT
    assert world.at(60.0) == world.present_ms(60.0) == 10_000.0
    assert default_past(1.0) == timedelta(0)


def test_a_past_is_lived_at_speed_and_then_the_present_goes_on() -> None:
    world = WorldClock(STARTED_AT, 0.0, 60.0, timedelta(hours=1))
    assert world.at(30.0) == pytest.approx(30 * 60_000)
    assert world.at(59.9) < world.past_ms
    assert world.at(61.0) == pytest.approx(world.past_ms + 61_000)
    assert world.caught_up_ms == pytest.approx(world.past_ms + 60_000)


@pytest.mark.parametrize(("speed", "past"), [(0.5, timedelta(0)), (1.0, timedelta(hours=1))])
def test_a_world_that_could_not_be_true_is_refused(speed: float, past: timedelta) -> None:
    with pytest.raises(ValueError, match=r"slower|no past"):
        WorldClock(STARTED_AT, 0.0, speed, past)


@given(st.floats(-100, 100), st.floats(0, 1e9))
def test_a_device_drifts_by_its_parts_per_million(drift_ppm: float, elapsed_ms: float) -> None:
    clock = SimulatedBootClock(1, 5_000.0, drift_ppm, RealTimeClock(is_set=True))
    up = clock.up_ms(5_000.0 + elapsed_ms)
    assert abs(up - elapsed_ms * (1 + drift_ppm * 1e-6)) <= 0.5 + 1e-3
    assert clock.world_ms(up) == pytest.approx(5_000.0 + elapsed_ms, abs=0.6)


def test_a_calendar_that_was_never_set_counts_from_1970() -> None:
    lost = SimulatedBootClock(1, 0.0, 50.0, RealTimeClock(is_set=False))
    assert lost.utc_ms(7_000, STARTED_AT) == 7_000
    off = SimulatedBootClock(1, 0.0, 50.0, RealTimeClock(is_set=True, error_ms=-250.0))
    assert off.utc_ms(7_000, STARTED_AT) == round(epoch_ms(STARTED_AT)) + 6_750
