"""A device's moments are placed within the error that is stated, whatever its clocks did."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import (
    CLAIM_ERROR_MS,
    DRIFT,
    EARLIEST_MS,
    Anchor,
    BootClock,
    DeviceClocks,
    Moment,
    from_ms,
    gain_ms,
    to_ms,
)
from cymba.devices.exchange import reply
from cymba.devices.messages import TimeReply, TimeRequest

START = datetime(2026, 3, 1, tzinfo=UTC)
START_MS = to_ms(START)
HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS
STORE = 3_735_928_559


@dataclass(frozen=True)
class Boot:
    """A boot as it truly was: its clock runs at `1 + drift` of the true rate."""

    number: int
    began_ms: float
    lasted_ms: float
    drift: float

    def up(self, wall_ms: float) -> float:
        return (wall_ms - self.began_ms) * (1 + self.drift)

    def wall(self, up_ms: float) -> float:
        return self.began_ms + up_ms / (1 + self.drift)

    @property
    def last_up(self) -> int:
        return math.floor(self.up(self.began_ms + self.lasted_ms))


def exchanged(boot: Boot, wall_ms: float, there_ms: float, back_ms: float) -> Anchor:
    """The anchor of a clock exchange begun at `wall_ms`, through the real messages."""
    u1 = math.floor(boot.up(wall_ms))
    arrived = wall_ms + there_ms
    answer = reply(TimeRequest(boot=boot.number, u1=u1), int(arrived), int(arrived + 3))
    assert isinstance(answer, TimeReply)
    u4 = math.floor(boot.up(arrived + 3 + back_ms))
    second = TimeRequest(boot=boot.number, u1=u1, t2=answer.t2, t3=answer.t3, u4=u4)
    at = int(arrived + 3 + back_ms + there_ms)
    anchor = reply(second, at, at)
    assert isinstance(anchor, Anchor)
    return anchor


drifts = st.floats(-100e-6, 100e-6)
# Bounds are missed at their edges first: the first and last moment, the boot right after another.
shares = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Boot], dict[tuple[int, int], list[Anchor]], float]:
    """Boots with whatever anchors they left, and the moment at which all has arrived."""
    boots: list[Boot] = []
    number = draw(st.integers(0, 2**32 - 20))
    began_ms = START_MS
    for _ in range(draw(st.integers(1, 5))):
        began_ms += draw(st.just(1_000.0) | st.floats(1_000, 3 * DAY_MS))
        boot = Boot(number, began_ms, draw(st.floats(60_000, 5 * DAY_MS)), draw(drifts))
        boots.append(boot)
        began_ms += boot.lasted_ms
        number += draw(st.integers(1, 3))  # a boot in between may have left nothing at all
    uploaded_ms = began_ms + draw(st.floats(0, 5 * DAY_MS))
    anchors: dict[tuple[int, int], list[Anchor]] = {}
    for boot in boots:
        kinds = draw(st.sets(st.sampled_from(["exchange", "arrival", "queued", "clock", "1970"])))
        of_boot = [
            anchor for kind in sorted(kinds) for anchor in draw(anchors_of(kind, boot, uploaded_ms))
        ]
        if of_boot:
            anchors[STORE, boot.number] = of_boot
    return boots, anchors, uploaded_ms


def anchors_of(kind: str, boot: Boot, uploaded_ms: float) -> st.SearchStrategy[list[Anchor]]:
    # An exchange of at most ten seconds and a bit ends before its boot does.
    walls = shares.map(lambda share: boot.began_ms + share * (boot.lasted_ms - 10_010))
    ups = shares.map(lambda share: math.floor(share * boot.last_up))
    delays = st.floats(0, 5_000)
    clock_off = st.floats(-0.9 * CLAIM_ERROR_MS, 0.9 * CLAIM_ERROR_MS)
    one = {
        "exchange": st.builds(exchanged, st.just(boot), walls, delays, delays),
        "arrival": st.builds(
            lambda up, late: Anchor("arrival", up, boot.wall(up) + late),
            ups,
            st.just(60_000.0) | st.floats(2, 60_000),  # what a live message may take
        ),
        "queued": st.builds(lambda up: Anchor("queued", up, uploaded_ms), ups),
        "clock": st.builds(
            lambda up, off: Anchor("device_clock", up, boot.wall(up) + off), ups, clock_off
        ),
        "1970": st.builds(lambda up: Anchor("device_clock", up, up), ups),
    }[kind]
    return st.lists(one, min_size=1, max_size=4)


def off_ms(moment: Moment, truth_ms: float) -> float:
    return abs(to_ms(moment.at) - truth_ms)


@settings(max_examples=300)
@given(histories(), st.data())
def test_the_truth_lies_within_the_stated_error(
    history: tuple[list[Boot], dict[tuple[int, int], list[Anchor]], float], data: st.DataObject
) -> None:
    boots, anchors, uploaded_ms = history
    clocks = DeviceClocks(anchors, START)
    for boot in boots:
        up = math.floor(data.draw(shares) * boot.last_up)
        moment = clocks.at(STORE, boot.number, up, from_ms(uploaded_ms))
        assert off_ms(moment, boot.wall(up)) <= moment.error_ms + 2, moment
        assert moment.at <= from_ms(uploaded_ms)


@settings(max_examples=75)
@given(histories(), st.data())
def test_the_order_of_anchors_means_nothing(
    history: tuple[list[Boot], dict[tuple[int, int], list[Anchor]], float], data: st.DataObject
) -> None:
    boots, anchors, uploaded_ms = history
    other = {
        key: data.draw(st.permutations(anchors[key]))
        for key in data.draw(st.permutations(list(anchors)))
    }
    for boot in boots:
        places = [
            DeviceClocks(known, START).at(STORE, boot.number, 1_000, from_ms(uploaded_ms))
            for known in (anchors, other)
        ]
        assert places[0] == places[1]


@given(
    drift=drifts,
    delays=st.lists(st.floats(0, 20_000), min_size=2, max_size=2),
    share=shares,
)
def test_an_exchange_anchors_its_hour_to_a_second(
    drift: float, delays: list[float], share: float
) -> None:
    boot = Boot(17, START_MS, 3 * DAY_MS, drift)
    anchor = exchanged(boot, START_MS + DAY_MS, *delays)
    clocks = DeviceClocks({(STORE, 17): [anchor]})
    up = boot.up(START_MS + DAY_MS + share * HOUR_MS)
    moment = clocks.at(STORE, 17, up, START + timedelta(days=9))
    assert moment.source == "anchored"
    assert moment.error_ms < 1_000 + sum(delays) / 2


def test_of_two_boots_the_one_with_an_anchor_bounds_the_other() -> None:
    first, second = Boot(1, START_MS, HOUR_MS, 50e-6), Boot(2, START_MS + 2 * HOUR_MS, HOUR_MS, 0)
    third = Boot(3, START_MS + 4 * HOUR_MS, HOUR_MS, -50e-6)
    clocks = DeviceClocks(
        {
            (STORE, 1): [exchanged(first, START_MS + HOUR_MS - 10_000, 40, 40)],
            (STORE, 3): [exchanged(third, third.began_ms + 5_000, 40, 40)],
        },
        START - timedelta(days=400),
    )
    moment = clocks.at(STORE, 2, 60_000, START + timedelta(days=5))
    assert moment.source == "between_boots"
    assert off_ms(moment, second.wall(60_000)) <= moment.error_ms
    assert moment.error_ms < 2 * HOUR_MS


def test_a_clock_reset_to_1970_is_no_claim() -> None:
    claims = [Anchor("device_clock", 60_000, 60_000)]
    moment = DeviceClocks({(STORE, 1): claims}, START).at(STORE, 1, 0, START + timedelta(hours=1))
    assert (moment.source, moment.error_ms) == ("arrival", HOUR_MS)


def test_a_claim_is_as_good_as_the_clock_was_where_it_could_be_checked() -> None:
    hour_off = Anchor("device_clock", 60_000, START_MS + 60_000 + HOUR_MS)
    checked = [Anchor("exchange", 60_000, START_MS + 60_000, 20), hour_off]
    claimed = [Anchor("device_clock", 0, START_MS + DAY_MS)]
    clocks = DeviceClocks({(STORE, 1): checked, (STORE, 2): claimed}, START)
    moment = clocks.at(STORE, 2, 0, START + timedelta(days=3))
    assert moment == (START + timedelta(days=1), HOUR_MS + 20, "device_clock")


def test_a_claim_from_the_future_or_before_the_boot_before_is_not_believed() -> None:
    known = [Anchor("exchange", 0, START_MS, 20)]
    arrived = START + timedelta(days=1)
    for wall_ms in (START_MS + 2 * DAY_MS, START_MS - DAY_MS):
        claim = [Anchor("device_clock", 0, wall_ms)]
        clocks = DeviceClocks({(STORE, 1): known, (STORE, 2): claim}, START)
        moment = clocks.at(STORE, 2, 0, arrived)
        assert moment.source == "arrival"
        assert off_ms(moment, START_MS + HOUR_MS) <= moment.error_ms


def test_a_boot_nothing_is_known_of_lies_between_provisioning_and_arrival() -> None:
    arrived = START + timedelta(days=2)
    moment = DeviceClocks({}, START).at(STORE, 9, 5_000, arrived)
    assert moment == (arrived, 2 * DAY_MS, "arrival")


def test_stores_know_nothing_of_each_other() -> None:
    clocks = DeviceClocks({(1, 1): [Anchor("exchange", 0, START_MS, 20)]}, START)
    assert clocks.at(2, 1, 0, START + timedelta(days=2)).source == "arrival"


def test_a_contradiction_is_covered_by_the_error() -> None:
    """The device slept, and its clock with it: two exchanges an hour apart that disagree."""
    slept_ms = 10 * 60_000.0
    anchors = [
        Anchor("exchange", 0, START_MS, 20),
        Anchor("exchange", HOUR_MS, START_MS + HOUR_MS + slept_ms, 20),
    ]
    clocks = DeviceClocks({(STORE, 1): anchors})
    arrived = START + timedelta(days=1)
    assert off_ms(clocks.at(STORE, 1, 0, arrived), START_MS) <= 20
    assert off_ms(clocks.at(STORE, 1, 2 * HOUR_MS, arrived), START_MS + 2 * HOUR_MS + slept_ms) < 1
    for up in (1.0, HOUR_MS / 3, 2 * HOUR_MS / 3, HOUR_MS):
        moment = clocks.at(STORE, 1, up, arrived)
        assert off_ms(moment, START_MS + up) <= moment.error_ms
        assert off_ms(moment, START_MS + up + slept_ms) <= moment.error_ms
        assert moment.error_ms < 2 * slept_ms


numbers = st.one_of(st.integers(0, 2**53 - 1), st.integers(0, 1_000_000_000)).map(float)


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 1), st.sampled_from([0, 1, 2, 2**32 - 1])),
        st.lists(
            st.builds(
                Anchor,
                st.sampled_from(["exchange", "arrival", "queued", "device_clock"]),
                numbers,
                st.one_of(numbers, numbers.map(lambda number: START_MS + number % DAY_MS)),
                st.floats(0, 60_000),
            ),
            max_size=5,
        ),
        max_size=5,
    ),
    st.tuples(st.integers(0, 2), st.integers(0, 2**32 - 1), numbers),
)
def test_no_lie_breaks_it(
    anchors: dict[tuple[int, int], list[Anchor]], moment_of: tuple[int, int, float]
) -> None:
    clocks = DeviceClocks(anchors, START)
    arrived = START + timedelta(days=1)
    moment = clocks.at(*moment_of, arrived)
    assert from_ms(EARLIEST_MS) <= moment.at <= arrived
    assert 0 <= moment.error_ms < 2**63


@pytest.mark.parametrize(
    ("new", "gain"),
    [
        (Anchor("exchange", 0, START_MS, 20), 0),
        (Anchor("exchange", 0, START_MS, 5), 30),
        # Of two that contradict each other the one at the middle is anyone's guess: both ends move.
        (Anchor("exchange", 0, START_MS + 1_000, 20), 2 * 960),
        (Anchor("arrival", 0, START_MS + 10_000), 0),
        (Anchor("arrival", 0, START_MS - 1_000), 2 * 980),
        (Anchor("queued", 10**7, START_MS + 10**9), 0),
        (Anchor("device_clock", 0, START_MS), math.inf),
    ],
)
def test_an_anchor_is_worth_what_it_changes(new: Anchor, gain: float) -> None:
    assert gain_ms(BootClock([Anchor("exchange", 0, START_MS, 20)]), new) == pytest.approx(gain)


def test_where_nothing_is_known_any_bound_is_worth_all() -> None:
    for kind in ("exchange", "arrival", "queued"):
        assert gain_ms(BootClock(), Anchor(kind, 0, START_MS)) == math.inf


def test_an_error_grows_with_the_distance_from_the_anchor() -> None:
    clock = BootClock([Anchor("exchange", 0, START_MS, 20)])
    assert clock.interval(DAY_MS).half_width_ms == pytest.approx(20 + DRIFT * DAY_MS, abs=0.01)


def test_between_two_exchanges_the_error_is_the_nearer_ones() -> None:
    later = Anchor("exchange", DAY_MS, START_MS + DAY_MS, 20)
    clock = BootClock([Anchor("exchange", 0, START_MS, 20), later])
    assert clock.interval(DAY_MS / 2).half_width_ms == pytest.approx(20 + DRIFT * DAY_MS / 2, 1e-6)
