"""Clocks that contradict themselves: false anchors, boot numbers that do not rise, counters that
begin anew after 49.7 days. The truth stays within the stated error, and the majority wins."""

import math
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import (
    ARRIVAL_ALLOWANCE_MS,
    Anchor,
    BootClock,
    DeviceClocks,
    from_ms,
    gain_ms,
    to_ms,
)
from cymba.devices.counter_laps import LAP_MS, SOON_MS
from tests.devices.test_clocks import (
    DAY_MS,
    HOUR_MS,
    START,
    START_MS,
    STORE,
    Boot,
    drifts,
    exchanged,
    off_ms,
    shares,
)

NOTICED_MS = 2.5 * ARRIVAL_ALLOWANCE_MS  # a smaller jump may agree with what it contradicts


def arrival(boot: Boot, wall_ms: float, late_ms: float = 500.0, off_by_ms: float = 0.0) -> Anchor:
    """A live message, by a server whose clock is off."""
    return Anchor("arrival", math.floor(boot.up(wall_ms)), wall_ms + late_ms + off_by_ms)


def exchange(boot: Boot, wall_ms: float, delay_ms: float = 40.0, off_by_ms: float = 0.0) -> Anchor:
    true = exchanged(boot, wall_ms, delay_ms, delay_ms)
    return true._replace(wall_ms=true.wall_ms + off_by_ms)


def clocks(anchors: Sequence[Anchor], boot: int = 1) -> DeviceClocks:
    return DeviceClocks({(STORE, boot): anchors}, START)


@pytest.mark.parametrize("off_by_ms", [-HOUR_MS, HOUR_MS])
@pytest.mark.parametrize("make", [arrival, exchange])
def test_one_false_anchor_moves_no_session_and_widens_the_error(make, off_by_ms: float) -> None:
    boot = Boot(1, START_MS, DAY_MS, 20e-6)
    true = [make(boot, START_MS + hour * HOUR_MS) for hour in (1, 3, 5)]
    false = make(boot, START_MS + 4 * HOUR_MS, off_by_ms=off_by_ms)
    for at_hour in (0, 4, 20):
        up = boot.up(START_MS + at_hour * HOUR_MS)
        moment = clocks([*true, false]).at(STORE, 1, up, START + timedelta(days=2))
        assert off_ms(moment, START_MS + at_hour * HOUR_MS) < 40_000
        assert moment.error_ms >= HOUR_MS - ARRIVAL_ALLOWANCE_MS


def test_of_two_that_contradict_each_other_either_may_be_right() -> None:
    boot = Boot(1, START_MS, DAY_MS, 0.0)
    pair = [arrival(boot, START_MS), arrival(boot, START_MS + HOUR_MS, off_by_ms=-HOUR_MS)]
    for at_ms in (START_MS, START_MS + HOUR_MS, START_MS + 9 * HOUR_MS):
        moment = clocks(pair).at(STORE, 1, boot.up(at_ms), START + timedelta(days=2))
        assert off_ms(moment, at_ms) <= moment.error_ms
        assert off_ms(moment, at_ms - HOUR_MS) <= moment.error_ms


def test_those_that_outvote_a_false_anchor_are_worth_keeping() -> None:
    """Else the first one that is false would stay the only one that is kept."""
    boot = Boot(1, START_MS, DAY_MS, 0.0)
    kept = [arrival(boot, START_MS, off_by_ms=-HOUR_MS)]
    for minute in range(1, 60):
        offered = arrival(boot, START_MS + minute * 60_000)
        if gain_ms(BootClock(kept), offered) >= 500:
            kept.append(offered)
    assert 3 <= len(kept) <= 6
    moment = clocks(kept).at(STORE, 1, 0.0, START + timedelta(days=1))
    assert off_ms(moment, START_MS) < 40_000


jumps = st.sampled_from([-1.0, 1.0]).flatmap(
    lambda sign: st.floats(NOTICED_MS, DAY_MS).map(lambda off: sign * off)
)


@st.composite
def with_false_anchors(draw: st.DrawFn) -> tuple[Boot, list[Anchor]]:
    """A boot and its anchors, of which one at least is true."""
    boot = Boot(1, START_MS, draw(st.floats(HOUR_MS, 5 * DAY_MS)), draw(drifts))
    walls = shares.map(lambda share: boot.began_ms + share * (boot.lasted_ms - 10_010))
    delays = st.floats(2, 5_000)
    make = draw(st.sampled_from([arrival, exchange]))
    true = [make(boot, draw(walls), draw(delays)) for _ in range(draw(st.integers(1, 3)))]
    # The servers' clock jumps, both ways; those of a moment may all be off by the same.
    false = [
        make(boot, draw(walls), draw(delays), draw(jumps)) for _ in range(draw(st.integers(0, 3)))
    ]
    return boot, draw(st.permutations(true + false))


@settings(max_examples=300)
@given(with_false_anchors(), shares)
def test_the_truth_is_within_the_error_if_one_anchor_is_true(
    history: tuple[Boot, list[Anchor]], share: float
) -> None:
    boot, anchors = history
    up = math.floor(share * boot.last_up)
    moment = clocks(anchors).at(STORE, 1, up, from_ms(START_MS + 9 * DAY_MS))
    assert off_ms(moment, boot.wall(up)) <= moment.error_ms + 2, moment


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.floats(0, 3 * DAY_MS), st.floats(HOUR_MS, DAY_MS)), min_size=2, max_size=4
    ),
    st.data(),
)
def test_boots_that_share_a_number_are_each_within_the_error(
    spans: list[tuple[float, float]], data: st.DataObject
) -> None:
    """A boot counter that never rises: each boot begins at 0 under the same number, after the one
    before it has ended."""
    boots: list[Boot] = []
    ended_ms = START_MS
    for off_for_ms, lasted_ms in spans:
        boots.append(Boot(1, ended_ms + off_for_ms, lasted_ms, 0.0))
        ended_ms += off_for_ms + lasted_ms
    anchors = [
        data.draw(st.sampled_from([arrival, exchange]))(boot, boot.wall(share * boot.last_up * 0.9))
        for boot in boots
        for share in data.draw(st.lists(shares, min_size=1, max_size=2))
    ]
    for boot in boots:
        up = math.floor(data.draw(shares) * boot.last_up)
        moment = clocks(anchors).at(STORE, 1, up, from_ms(START_MS + 17 * DAY_MS))
        assert off_ms(moment, boot.wall(up)) <= moment.error_ms + 2


def test_a_boot_between_two_whose_numbers_do_not_rise_is_not_placed_between_them() -> None:
    later, earlier = Boot(1, START_MS + 9 * DAY_MS, HOUR_MS, 0.0), Boot(3, START_MS, HOUR_MS, 0.0)
    known = {
        (STORE, 1): [exchange(later, later.began_ms)],
        (STORE, 3): [exchange(earlier, earlier.began_ms)],
    }
    moment = DeviceClocks(known, START).at(STORE, 2, 0.0, START + timedelta(days=20))
    assert moment.source == "arrival"
    assert moment.error_ms >= 19 * DAY_MS


@st.composite
def lapping(draw: st.DrawFn) -> tuple[Boot, list[Anchor], float, float]:
    """A boot of months whose counter has 32 bits; a moment of it, and when its frame came."""
    boot = Boot(1, START_MS, draw(st.floats(DAY_MS, 160 * DAY_MS)), draw(drifts))
    walls = st.floats(0, 1).map(lambda share: boot.began_ms + share * (boot.lasted_ms - 10_010))
    anchors = [
        draw(st.sampled_from([arrival, exchange]))(boot, draw(walls))
        for _ in range(draw(st.integers(1, 5)))
    ]
    seen = [one._replace(up_ms=one.up_ms % LAP_MS) for one in anchors]
    at_ms = draw(walls)
    return boot, seen, at_ms, at_ms + draw(st.floats(0, SOON_MS - HOUR_MS))


@settings(max_examples=300)
@given(lapping())
def test_a_counter_that_begins_anew_keeps_the_truth_within_the_error(
    history: tuple[Boot, list[Anchor], float, float],
) -> None:
    boot, anchors, at_ms, came_ms = history
    up = math.floor(boot.up(at_ms)) % LAP_MS
    moment = clocks(anchors).at(STORE, 1, up, from_ms(came_ms))
    assert off_ms(moment, at_ms) <= moment.error_ms + 2, moment


def test_what_arrivals_show_of_a_lap_places_the_session_on_its_day() -> None:
    boot = Boot(1, START_MS, 60 * DAY_MS, 30e-6)
    ends = [START_MS + 100.0, START_MS + 50 * DAY_MS]
    seen = [arrival(boot, at_ms) for at_ms in ends]
    seen = [one._replace(up_ms=one.up_ms % LAP_MS) for one in seen]
    at_ms = START_MS + 51 * DAY_MS
    came = from_ms(at_ms + HOUR_MS)
    moment = clocks(seen).at(STORE, 1, boot.up(at_ms) % LAP_MS, came)
    assert off_ms(moment, at_ms) < 60_000
    assert moment.error_ms < 600_000


def test_a_counter_of_more_bits_is_taken_at_its_word() -> None:
    boot = Boot(1, START_MS, 90 * DAY_MS, 0.0)
    known = [exchange(boot, START_MS), exchange(boot, START_MS + 60 * DAY_MS)]
    moment = clocks(known).at(STORE, 1, DAY_MS, from_ms(START_MS + 80 * DAY_MS))
    assert off_ms(moment, START_MS + DAY_MS) <= moment.error_ms < 60_000


def test_a_frame_that_was_kept_for_longer_than_a_lap_may_be_of_either() -> None:
    boot = Boot(1, START_MS, DAY_MS, 0.0)
    moment = clocks([exchange(boot, START_MS)]).at(STORE, 1, 0.0, from_ms(START_MS + 60 * DAY_MS))
    assert off_ms(moment, START_MS) < 1_000
    assert off_ms(moment, START_MS + LAP_MS) <= moment.error_ms
    assert to_ms(moment.at) == pytest.approx(START_MS, abs=1_000)
