"""When something happened on a device that knows only the time since its boot.

Every anchor bounds the wall time of a moment of one boot. A crystal that is off by at most `DRIFT`
carries the bound to other moments of the boot. The time of a moment is the middle of the
intersection of all these bounds, and its error half the width. Where bounds contradict each other,
the most that agree give the time, and the error reaches to all that the others say
(`cymba.devices.agreement`, `cymba.devices.counter_laps`).

Pure: times are milliseconds since 1970-01-01T00:00:00Z as floats, `up_ms` since the boot.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

from cymba.devices.agreement import TimeInterval, agreed
from cymba.devices.counter_laps import DRIFT, LAP_MS, Anchor, AnchorKind, lap_by, laps_of

__all__ = ["DRIFT", "Anchor", "AnchorKind", "TimeInterval"]

TimeSource = Literal["anchored", "device_clock", "between_boots", "arrival"]

ARRIVAL_ALLOWANCE_MS = 60_000.0
"""How late a live message may be. A device stamps `sent` at each sending, and the keep-alive closes
a connection that is silent for so long. So the least delayed message of a boot took less."""

EARLIEST_MS = 1_577_836_800_000.0
"""2020-01-01. No device is older; a clock that shows an earlier time was never set."""

CLAIM_ERROR_MS = 15 * 60_000.0
"""The least error of a time that rests on the device's own clock."""

VOTING = 3
"""Where anchors contradict each other, so many of each kind on either side of a moment vote. More
would let those of before outvote a clock that has stopped since."""

NEAREST = 16
"""How many of a boot's anchors of one kind are used on either side of a moment."""


class Moment(NamedTuple):
    """A time that says where it came from and how far off it may be."""

    at: datetime
    error_ms: int
    source: TimeSource


class BootClock:
    """The clock of one boot, from its anchors."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        self.anchors = list(anchors)
        self.counts_far = any(anchor.up_ms >= LAP_MS for anchor in self.anchors)
        self.laps = {} if self.counts_far else laps_of(self.anchors)
        ordered = sorted(
            (_lapped(anchor, self.laps.get(anchor, 0)) for anchor in self.anchors),
            key=lambda anchor: (anchor.up_ms, anchor.wall_ms),
        )
        self.exchanges = [anchor for anchor in ordered if anchor.kind == "exchange"]
        self.arrivals = [anchor for anchor in ordered if anchor.kind == "arrival"]
        self.queued = [anchor for anchor in ordered if anchor.kind == "queued"]
        self.claims = [
            anchor
            for anchor in ordered
            if anchor.kind == "device_clock" and anchor.wall_ms >= EARLIEST_MS
        ]
        self.last_up_ms = ordered[-1].up_ms if ordered else 0.0

    @property
    def two_sided(self) -> bool:
        """Whether its moments are bounded from below as well."""
        return bool(self.exchanges or self.arrivals)

    def high_ms(self, up_ms: float) -> float:
        """The latest time that `up_ms` can have been, by the messages that had left by then."""
        return min(
            (
                _later(anchor, up_ms)
                for anchors in (self.arrivals, self.queued)
                for anchor in _nearest(anchors, up_ms)
            ),
            default=math.inf,
        )

    def contradicts(self, up_ms: float) -> bool:
        """Whether the anchors around `up_ms` contradict each other."""
        known = [_exchanged(one, up_ms) for one in _nearest(self.exchanges, up_ms)]
        known += [_arrived(one, up_ms) for one in _nearest(self.arrivals, up_ms)]
        highest_low = max((one.low_ms for one in known), default=-math.inf)
        return highest_low > min((one.high_ms for one in known), default=math.inf)

    def interval(self, up_ms: float, latest_ms: float = math.inf) -> TimeInterval:
        """Where all that is known of `up_ms` agrees; `latest_ms` is a bound from elsewhere.

        Where anchors contradict each other (a clock that stopped, a boot counter that did not rise,
        a server's clock that jumped), the interval lies around what most of the nearest agree on
        and reaches to what the others say.
        """
        upper_ms = min(self.high_ms(up_ms), latest_ms)
        exchanged = [_exchanged(one, up_ms) for one in _nearest(self.exchanges, up_ms)]
        arrived = [_arrived(one, up_ms) for one in _nearest(self.arrivals, up_ms)]
        known = exchanged + arrived
        if not known:
            return TimeInterval(-math.inf, upper_ms)
        high = min(upper_ms, *(interval.high_ms for interval in known))
        if max(interval.low_ms for interval in known) <= high:
            # Only of the least delayed message it is certain that it came so soon.
            soonest = min(arrived, key=lambda interval: interval.high_ms, default=None)
            lows = [interval.low_ms for interval in exchanged]
            return TimeInterval(max(lows + ([soonest.low_ms] if soonest else [])), high)
        voting = [_exchanged(one, up_ms) for one in _nearest(self.exchanges, up_ms, VOTING)]
        voting += [_arrived(one, up_ms) for one in _nearest(self.arrivals, up_ms, VOTING)]
        nearest = min(self.exchanges + self.arrivals, key=lambda anchor: abs(anchor.up_ms - up_ms))
        bounds = _exchanged if nearest.kind == "exchange" else _arrived
        return agreed(known, voting, bounds(nearest, up_ms), upper_ms)


class _Span(NamedTuple):
    """The bounds from a boot's neighbours: on its start, and on its last moment."""

    start_low_ms: float
    end_high_ms: float


class StoreClocks:
    """The boots of one flash store, in the order of its boot counter.

    A boot that is anchored on both sides depends on its own anchors alone, and so separates the
    boots before it from those after it: `anchors.load_clocks` reads no further, and
    `session.retiming` has no more sessions summarised again.
    """

    def __init__(self, boots: Mapping[int, BootClock]) -> None:
        self.boots = dict(sorted(boots.items()))
        self._numbers = list(self.boots)

    @cached_property
    def _ended_low(self) -> list[float]:
        """By index: the time until which all earlier boots have lasted at least."""
        found = [-math.inf]
        for clock in self.boots.values():
            known = clock.interval(clock.last_up_ms).low_ms
            lasted = found[-1] + clock.last_up_ms * (1 - DRIFT)
            found.append(known if clock.two_sided else max(known, lasted))
        return found

    @cached_property
    def _begun_high(self) -> list[float]:
        """By index: the time by which the boot must have begun, and all earlier ones ended."""
        found = [math.inf]
        for clock in reversed(self.boots.values()):
            known = clock.interval(0.0).high_ms
            lasted = found[-1] - clock.last_up_ms * (1 - DRIFT)
            found.append(known if clock.two_sided else min(known, lasted))
        return found[::-1]

    def span(self, boot: int) -> _Span:
        at = bisect_left(self._numbers, boot)
        following = at + 1 if boot in self.boots else at
        return _Span(self._ended_low[at], self._begun_high[following])


class DeviceClocks:
    """All clocks of a device; `at` places any moment of any boot.

    `provisioned_at` is the bound where there is no other. `checked` gives the boots that show how
    far off the device's own clock may be, if `anchors` does not have all of them.
    """

    def __init__(
        self,
        anchors: Mapping[tuple[int, int], Iterable[Anchor]],
        provisioned_at: datetime | None = None,
        *,
        checked: Callable[[], Iterable[BootClock]] | None = None,
    ) -> None:
        stores: dict[int, dict[int, BootClock]] = {}
        for (store, boot), of_boot in anchors.items():
            stores.setdefault(store, {})[boot] = BootClock(of_boot)
        self.stores = {store: StoreClocks(boots) for store, boots in stores.items()}
        self._checked = checked or self._all_boots
        self._provisioned_ms = to_ms(provisioned_at) if provisioned_at else EARLIEST_MS

    def _all_boots(self) -> Iterator[BootClock]:
        return (clock for store in self.stores.values() for clock in store.boots.values())

    @cached_property
    def claim_error_ms(self) -> float:
        """How far off the device's own clock may be: the largest error that an anchored boot
        shows."""
        worst = CLAIM_ERROR_MS
        for clock in self._checked():
            if clock.two_sided:
                for claim in clock.claims:
                    known = clock.interval(claim.up_ms)
                    away = abs(claim.wall_ms - known.middle_ms) + known.half_width_ms
                    worst = max(worst, away)
        return worst

    def at(self, store: int, boot: int, up_ms: float, latest_at: datetime) -> Moment:
        """When `up_ms` after `boot` was. The frame of that moment had arrived by `latest_at`."""
        latest_ms = to_ms(latest_at)
        store_clocks = self.stores.get(store, _NO_BOOTS)
        clock = store_clocks.boots.get(boot, _NO_ANCHORS)
        if clock.two_sided:
            lap, slack_ms = self._lap(clock, up_ms, latest_ms)
            interval = clock.interval(up_ms + lap * LAP_MS, latest_ms)
            error_ms = interval.half_width_ms + slack_ms
            return _moment(interval.middle_ms, error_ms, "anchored", latest_ms)
        own_high = clock.high_ms(up_ms)
        if own_high >= EARLIEST_MS:
            latest_ms = min(latest_ms, own_high)
        span = store_clocks.span(boot)
        rest_ms = max(clock.last_up_ms - up_ms, 0.0)
        low = span.start_low_ms + up_ms * (1 - DRIFT)
        high = min(latest_ms, span.end_high_ms - rest_ms * (1 - DRIFT))
        if low > high or high < EARLIEST_MS:  # the neighbours contradict it: leave them out
            span = _Span(-math.inf, math.inf)
            low, high = -math.inf, latest_ms
        claimed = self._claimed(clock, up_ms, TimeInterval(low, high))
        if claimed:
            return _moment(claimed.middle_ms, claimed.half_width_ms, "device_clock", latest_ms)
        if math.isfinite(low) and math.isfinite(span.end_high_ms):
            between = TimeInterval(low, high)
            return _moment(between.middle_ms, between.half_width_ms, "between_boots", latest_ms)
        if math.isinf(low):
            low = self._provisioned_ms if self._provisioned_ms < high else EARLIEST_MS
        return _moment(high, high - low, "arrival", latest_ms)

    def _lap(self, clock: BootClock, up_ms: float, latest_ms: float) -> tuple[int, float]:
        """In which lap of a counter of 32 bits `up_ms` was, and by how much that may be wrong."""
        if clock.counts_far or up_ms >= LAP_MS:
            return 0, 0.0
        first = clock.interval(up_ms)
        return lap_by(latest_ms - first.low_ms, has_lapped=any(clock.laps.values()))

    def _claimed(self, clock: BootClock, up_ms: float, known: TimeInterval) -> TimeInterval | None:
        """`known`, narrowed by the nearest claim of the device's own clock that fits it; else
        None."""
        for claim in sorted(clock.claims, key=lambda claim: abs(up_ms - claim.up_ms)):
            wall_ms = claim.wall_ms + up_ms - claim.up_ms
            if known.low_ms - CLAIM_ERROR_MS <= wall_ms <= known.high_ms + CLAIM_ERROR_MS:
                error_ms = self.claim_error_ms + DRIFT * abs(up_ms - claim.up_ms)
                low = max(known.low_ms, wall_ms - error_ms)
                high = min(known.high_ms, wall_ms + error_ms)
                return (
                    TimeInterval(low, high) if low > known.low_ms or high < known.high_ms else None
                )
        return None


_NO_ANCHORS = BootClock()
_NO_BOOTS = StoreClocks({})


def gain_ms(clock: BootClock, new: Anchor) -> float:
    """By how much `new` changes what `clock` says of the moment of `new`, and of its neighbours: of
    those that contradict each other it may decide which are right.

    For bounds: by how far the ends of the interval move. For the device's own claim: how far it
    departs from the last claim. Infinite where nothing was known.
    """
    if new.kind == "device_clock":
        return _departure_ms(clock.claims, new)
    if new.kind == "arrival" and not clock.two_sided:
        return math.inf
    with_new = BootClock([*clock.anchors, new])
    up_ms = new.up_ms + with_new.laps.get(new, 0) * LAP_MS
    neighbours = [
        anchor.up_ms
        for anchors in (clock.exchanges, clock.arrivals)
        for anchor in _nearest(anchors, up_ms, VOTING)
    ]
    places = {up_ms, *neighbours} if clock.contradicts(up_ms) else {up_ms}
    return max(_moved(clock.interval(up), with_new.interval(up)) for up in places)


def _moved(before: TimeInterval, after: TimeInterval) -> float:
    ends = ((before.low_ms, after.low_ms), (before.high_ms, after.high_ms))
    return sum(0.0 if one == other else abs(other - one) for one, other in ends)


def _departure_ms(claims: list[Anchor], new: Anchor) -> float:
    nearest = _nearest(claims, new.up_ms)
    if not nearest:
        return math.inf
    last = min(nearest, key=lambda claim: abs(new.up_ms - claim.up_ms))
    away = new.up_ms - last.up_ms
    return max(0.0, abs(new.wall_ms - last.wall_ms - away) - DRIFT * abs(away))


def outdoes(new: Anchor, old: Anchor) -> bool:
    """Whether the upper bound `old` follows from `new`."""
    return _later(new, old.up_ms) <= old.wall_ms


def to_ms(at: datetime) -> float:
    return at.timestamp() * 1000


def from_ms(wall_ms: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=wall_ms)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _later(anchor: Anchor, up_ms: float) -> float:
    """The latest time that `up_ms` can have been, by the upper bound of the anchor."""
    away = up_ms - anchor.up_ms
    return anchor.wall_ms + away + DRIFT * abs(away)


def _exchanged(anchor: Anchor, up_ms: float) -> TimeInterval:
    away = up_ms - anchor.up_ms
    error = anchor.error_ms + DRIFT * abs(away)
    return TimeInterval(anchor.wall_ms + away - error, anchor.wall_ms + away + error)


def _arrived(anchor: Anchor, up_ms: float) -> TimeInterval:
    """A live message, which was no later than `ARRIVAL_ALLOWANCE_MS`."""
    away = up_ms - anchor.up_ms
    earliest = anchor.wall_ms + away - DRIFT * abs(away) - ARRIVAL_ALLOWANCE_MS
    return TimeInterval(earliest, _later(anchor, up_ms))


def _lapped(anchor: Anchor, lap: int) -> Anchor:
    return anchor._replace(up_ms=anchor.up_ms + lap * LAP_MS) if lap else anchor


def _nearest(anchors: list[Anchor], up_ms: float, either_side: int = NEAREST) -> list[Anchor]:
    """The anchors around `up_ms`; drift makes the bound of a farther one wider."""
    if len(anchors) <= either_side:
        return anchors
    at = bisect_left(anchors, up_ms, key=lambda anchor: anchor.up_ms)
    return anchors[max(at - either_side, 0) : at + either_side]


def _moment(wall_ms: float, error_ms: float, source: TimeSource, latest_ms: float) -> Moment:
    """The moment, limited to the time between `EARLIEST_MS` and its arrival."""
    limited_ms = min(max(wall_ms, EARLIEST_MS), latest_ms)
    return Moment(from_ms(limited_ms), math.ceil(error_ms + abs(limited_ms - wall_ms)), source)
