"""When something happened on a device that knows only the time since its boot.

Every anchor bounds the wall time of a moment of one boot. A crystal that is off by at most `DRIFT`
carries the bound to other moments of the boot. The time of a moment is the middle of the
intersection of all these bounds, and its error half the width.
(Marzullo's intersection, as in NTP: RFC 5905, section 11.2.1.)

Pure: times are milliseconds since 1970-01-01T00:00:00Z as floats, `up_ms` since the boot.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

AnchorKind = Literal["exchange", "arrival", "queued", "device_clock"]
TimeSource = Literal["anchored", "device_clock", "between_boots", "arrival"]

DRIFT = 100e-6 / (1 - 100e-6)
"""How far a device's clock may drift: 100 ppm of its own rate, which in wall time is a little
more."""

ARRIVAL_ALLOWANCE_MS = 60_000.0
"""How late a live message may be. A device stamps `sent` at each sending, and the keep-alive closes
a connection that is silent for so long. So the least delayed message of a boot took less."""

EARLIEST_MS = 1_577_836_800_000.0
"""2020-01-01. No device is older; a clock that shows an earlier time was never set."""

CLAIM_ERROR_MS = 15 * 60_000.0
"""The least error of a time that rests on the device's own clock."""

NEAREST = 16
"""How many of a boot's anchors of one kind are used on either side of a moment."""


class Anchor(NamedTuple):
    """A moment known on both clocks; `ClockAnchor` describes the kinds."""

    kind: AnchorKind
    up_ms: float
    wall_ms: float
    error_ms: float = 0.0


class TimeInterval(NamedTuple):
    low_ms: float
    high_ms: float

    @property
    def middle_ms(self) -> float:
        return (self.low_ms + self.high_ms) / 2

    @property
    def half_width_ms(self) -> float:
        return (self.high_ms - self.low_ms) / 2


class Moment(NamedTuple):
    """A time that says where it came from and how far off it may be."""

    at: datetime
    error_ms: int
    source: TimeSource


class BootClock:
    """The clock of one boot, from its anchors."""

    def __init__(self, anchors: Iterable[Anchor] = ()) -> None:
        ordered = sorted(anchors, key=lambda anchor: (anchor.up_ms, anchor.wall_ms))
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

    def interval(self, up_ms: float, latest_ms: float = math.inf) -> TimeInterval:
        """The interval on which all that is known of `up_ms` agrees; `latest_ms` is a bound from
        elsewhere.

        If the anchors contradict each other (a clock that stopped or ran wild), only those next to
        `up_ms` are used. If these do too, the interval covers all that any of them allows.
        """
        upper_ms = min(self.high_ms(up_ms), latest_ms)
        arrived = self._arrived(up_ms)
        for exchanges in (_nearest(self.exchanges, up_ms), _nearest(self.exchanges, up_ms, 1)):
            known = [_exchanged(anchor, up_ms) for anchor in exchanges] + arrived
            low = max((interval.low_ms for interval in known), default=-math.inf)
            high = min([upper_ms, *(interval.high_ms for interval in known)])
            if low <= high:
                return TimeInterval(low, high)
        low = min([upper_ms, *(interval.low_ms for interval in known)])
        return TimeInterval(low, max(interval.high_ms for interval in known))

    def _arrived(self, up_ms: float) -> list[TimeInterval]:
        """The interval of the least delayed live message, if there is any."""
        nearby = _nearest(self.arrivals, up_ms)
        if not nearby:
            return []
        tightest = min(nearby, key=lambda anchor: _later(anchor, up_ms))
        away = up_ms - tightest.up_ms
        earliest = tightest.wall_ms + away - DRIFT * abs(away) - ARRIVAL_ALLOWANCE_MS
        return [TimeInterval(earliest, _later(tightest, up_ms))]


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
        clocks = list(self.boots.values())
        # By index: the time until which all earlier boots have lasted at least …
        self._ended_low = [-math.inf]
        for clock in clocks:
            known = clock.interval(clock.last_up_ms).low_ms
            lasted = self._ended_low[-1] + clock.last_up_ms * (1 - DRIFT)
            self._ended_low.append(known if clock.two_sided else max(known, lasted))
        # … and the time by which this boot must have begun, and all earlier ones ended.
        self._begun_high = [math.inf]
        for clock in reversed(clocks):
            known = clock.interval(0.0).high_ms
            lasted = self._begun_high[-1] - clock.last_up_ms * (1 - DRIFT)
            self._begun_high.append(known if clock.two_sided else min(known, lasted))
        self._begun_high.reverse()

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
            interval = clock.interval(up_ms, latest_ms)
            return _moment(interval.middle_ms, interval.half_width_ms, "anchored", latest_ms)
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
    """By how much `new` changes what `clock` says of the moment of `new`.

    For a bound: how much it narrows the interval, or how far it contradicts it. For the device's
    own claim: how far it departs from the nearest claim. Infinite if nothing was known.
    """
    if new.kind == "device_clock":
        return _departure_ms(clock.claims, new)
    if new.kind == "arrival" and not clock.two_sided:
        return math.inf
    low = new.wall_ms - new.error_ms if new.kind == "exchange" else -math.inf
    high = new.wall_ms + new.error_ms
    before = clock.interval(new.up_ms)
    contradiction = max(low - before.high_ms, before.low_ms - high)
    if contradiction > 0:
        return contradiction
    raised = max(0.0, low - before.low_ms) if math.isfinite(low) else 0.0
    return raised + max(0.0, before.high_ms - high)


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
