"""Placing a session in time: a line from each boot's clock to UTC.

Within one boot the device's crystal is better than any estimate of single moments. So a boot is
placed by its first and last moment, with a straight line between them. Durations then do not depend
on the number of frames, and samples are evenly spaced.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cymba.devices.clocks import DRIFT, DeviceClocks, Moment, TimeSource, from_ms, to_ms
from cymba.devices.counter_laps import HALF_A_LAP_MS, LAP_MS
from cymba.stimulation.archive.columns import Heads
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.wire.messages import Frame, SamplesFrame

SUREST_FIRST: tuple[TimeSource, ...] = ("anchored", "device_clock", "between_boots", "arrival")
Milliseconds = NDArray[np.int64]
_LAP_MS = int(LAP_MS)
FALLS_MS = 60_000  # by less, what is written in another order than it happened may differ
STRAIGHT_WITHIN = 1e-3  # of the rate; further off, the two moments contradict each other

BootKey = tuple[int, int]
"""A store, and a boot of it."""


class BootSpan(Struct, array_like=True):
    """From when to when a session was in one boot, and what its arrivals say of that.

    Frames are added in the order of their numbers. Times are `up`; `ups_of` says what it is once a
    counter of 32 bits has begun anew.
    """

    store: int
    boot: int
    low: int  # no frame's `up` is less
    high: int = -1  # the last moment
    low_by_ms: float = math.inf  # by when `low` was, as frames after it arrived
    high_key_ms: float = math.inf  # by when `high` was, but for `high` itself
    came_ms: float = -math.inf  # when the last of it arrived
    falls: bool = False
    last_up: int | None = None  # as it was sent
    lap: int = 0
    has_lapped: bool = False

    def add(self, frame: Frame, received_ms: float) -> int:
        """Returns the frame's `up`, laps included."""
        return self.add_moment(frame.up, _length_ms(frame), received_ms)

    def add_moment(self, sent_up: int, length_ms: int, received_ms: float) -> int:
        up = self.next_up(sent_up)
        self.lap, self.last_up = self._next_lap(sent_up), sent_up
        self.has_lapped = self.has_lapped or self.lap > 0
        ends = up + length_ms
        self.falls = self.falls or ends < self.high - FALLS_MS
        self.high = max(self.high, ends)
        # Each frame bounds every moment by its own arrival, allowing for drift.
        self.low_by_ms = min(self.low_by_ms, received_ms - (ends - self.low) * (1 - DRIFT))
        self.high_key_ms = min(self.high_key_ms, received_ms - ends * (1 + DRIFT))
        self.came_ms = max(self.came_ms, received_ms)
        return up

    def next_up(self, up: int) -> int:
        """What a frame's `up` is with laps, if it is the next one by its number."""
        return up + max(self._next_lap(up), 0) * _LAP_MS

    def _next_lap(self, up: int) -> int:
        before = self.last_up
        if before is None or max(before, up) >= _LAP_MS:
            return self.lap
        # An event may come before the samples around it, so the lap may also go back by one.
        return self.lap + (before - up > HALF_A_LAP_MS) - (up - before > HALF_A_LAP_MS)

    def moments(self, clocks: DeviceClocks) -> tuple[Moment, Moment]:
        """When its first and its last moment were."""
        high_by_ms = self.high_key_ms + self.high * (1 + DRIFT)
        latest = [from_ms(max(0.0, by_ms)) for by_ms in (self.low_by_ms, high_by_ms)]
        first = clocks.at(self.store, self.boot, self.low, latest[0])
        if self.has_lapped:
            return first, _later(first, self.high - self.low)
        if self.high == self.low:
            return first, first
        return first, clocks.at(self.store, self.boot, self.high, latest[1])


@dataclass(frozen=True, slots=True)
class _BootLine:
    """`wall = origin_ms + (up - origin_up) * rate`, limited by the times of arrival."""

    origin_up: int
    origin_ms: float
    rate: float
    low_ms: float
    high_ms: float

    def at_ms(self, up_ms: int) -> int:
        wall = self.origin_ms + (up_ms - self.origin_up) * self.rate
        return round(min(max(wall, self.low_ms), self.high_ms))


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of every moment of a session. Source and error are those of its least certain
    boot."""

    lines: dict[BootKey, _BootLine]
    source: TimeSource
    error_ms: int
    # In some boot `up` fell as the numbers rose: two boots under one number, or a clock set back.
    falls: bool
    # By store and seq, the `up` of frames whose counter of 32 bits had begun anew.
    ups: dict[tuple[int, int], int]

    def at_ms(self, frame: Frame) -> int:
        """The frame's `up`, in milliseconds since 1970."""
        up = self.ups.get((frame.store, frame.seq), frame.up)
        return self.lines[frame.store, frame.boot].at_ms(up)

    def span_ms(self, span: BootSpan) -> tuple[int, int]:
        """Its first and its last moment, in milliseconds since 1970."""
        line = self.lines[span.store, span.boot]
        return line.at_ms(span.low), line.at_ms(span.high)


def _length_ms(frame: Frame) -> int:
    """From `up` to the frame's last sample."""
    return (frame.n - 1) * frame.dt if isinstance(frame, SamplesFrame) else 0


def boots_of(frames: Iterable[ReadFrame]) -> set[BootKey]:
    """The store and boot of each frame: the clocks that `place` needs."""
    return {(read.frame.store, read.frame.boot) for read in frames}


def place(frames: Iterable[ReadFrame], clocks: DeviceClocks) -> Timing:
    """Place the boots that `frames` (at least one) were recorded in.

    The result depends on the set of frames alone, not on their order.
    """
    spans: list[BootSpan] = []
    lapped: dict[tuple[int, int], int] = {}
    for reads in by_boot(frames).values():
        span, ups = span_of(reads)
        spans.append(span)
        if span.has_lapped:
            lapped |= {
                (read.frame.store, read.frame.seq): up for read, up in zip(reads, ups, strict=True)
            }
    return placed(spans, clocks, lapped)


def by_boot(frames: Iterable[ReadFrame]) -> dict[BootKey, list[ReadFrame]]:
    """The frames of each boot, in the order of their numbers."""
    boots: dict[BootKey, list[ReadFrame]] = {}
    for read in sorted(frames, key=lambda read: read.frame.seq):
        boots.setdefault((read.frame.store, read.frame.boot), []).append(read)
    return boots


def span_of(reads: Sequence[ReadFrame]) -> tuple[BootSpan, list[int]]:
    """Of all the session's frames of a boot, in the order of their numbers; and each one's `up`,
    laps included."""
    columns = (
        [read.frame.up for read in reads],
        [_length_ms(read.frame) for read in reads],
        [to_ms(read.received_at) for read in reads],
    )
    first = reads[0].frame
    span, ups = _span_of_moments(first.store, first.boot, *map(np.array, columns))
    return span, ups.tolist()


def place_columns(heads: Heads, clocks: DeviceClocks) -> Milliseconds:
    """When each frame's `up` was, as `place` has it, in milliseconds since 1970."""
    spans: list[BootSpan] = []
    boots: list[tuple[NDArray[np.intp], Milliseconds]] = []
    lengths_ms = np.maximum(heads.n - 1, 0) * heads.dt
    received_ms = heads.received_ms / 1000 * 1000  # to the last bit as `to_ms` has it
    for store, boot in sorted(boots_among(heads)):
        of_boot = np.flatnonzero((heads.store == store) & (heads.boot == boot))
        of_boot = of_boot[np.argsort(heads.seq[of_boot])]
        moments = heads.up_ms[of_boot], lengths_ms[of_boot], received_ms[of_boot]
        span, ups = _span_of_moments(store, boot, *moments)
        spans.append(span)
        boots.append((of_boot, ups))
    timing = placed(spans, clocks)
    at_ms = np.empty(heads.seq.size, dtype=np.int64)
    for span, (of_boot, ups) in zip(spans, boots, strict=True):
        line = timing.lines[span.store, span.boot]
        wall_ms = line.origin_ms + (ups - line.origin_up) * line.rate
        at_ms[of_boot] = np.rint(np.clip(wall_ms, line.low_ms, line.high_ms))
    return at_ms


def boots_among(heads: Heads) -> set[BootKey]:
    """The store and boot of each frame: the clocks that `place_columns` needs."""
    is_other = (np.diff(heads.store) != 0) | (np.diff(heads.boot) != 0)
    some = np.append(0, np.flatnonzero(is_other) + 1)[: heads.boot.size]
    return set(zip(heads.store[some].tolist(), heads.boot[some].tolist(), strict=True))


def _span_of_moments(
    store: int, boot: int, ups: Milliseconds, lengths_ms: Milliseconds, received_ms: NDArray[Any]
) -> tuple[BootSpan, Milliseconds]:
    """What `BootSpan.add` makes of them one by one, in the order of their numbers."""
    low = int(ups.min())
    if ups.max() - low > HALF_A_LAP_MS:  # else no lap can have passed
        moments = list(zip(ups.tolist(), lengths_ms.tolist(), received_ms.tolist(), strict=True))
        counting = BootSpan(store, boot, low=0)
        low = min(counting.add_moment(up, length, 0.0) for up, length, _ in moments)
        span = BootSpan(store, boot, low)
        return span, np.array([span.add_moment(*moment) for moment in moments], dtype=np.int64)
    ends = ups + lengths_ms
    highest = np.maximum.accumulate(ends)
    span = BootSpan(
        store,
        boot,
        low,
        high=int(highest[-1]),
        low_by_ms=float(np.min(received_ms - (ends - low) * (1 - DRIFT))),
        high_key_ms=float(np.min(received_ms - ends * (1 + DRIFT))),
        came_ms=float(received_ms.max()),
        falls=bool(np.any(ends[1:] < highest[:-1] - FALLS_MS)),
        last_up=int(ups[-1]),
    )
    return span, ups


def placed(
    spans: Iterable[BootSpan],
    clocks: DeviceClocks,
    ups: Mapping[tuple[int, int], int] | None = None,
) -> Timing:
    """The timing of a session that was in these boots. `ups`: see `Timing`."""
    lines: dict[BootKey, _BootLine] = {}
    sources: set[TimeSource] = set()
    error, falls = 0.0, False
    for span in spans:
        first, last = span.moments(clocks)
        line, mismatch = _line(span.low, span.high, first, last)
        lines[span.store, span.boot] = line
        sources |= {first.source, last.source}
        error = max(error, first.error_ms + mismatch, last.error_ms + mismatch)
        if span.falls:
            # What came after the fall was some time later, and before it arrived.
            falls = True
            error = max(error, span.came_ms - to_ms(first.at))
    source = max(sources, key=SUREST_FIRST.index)
    return Timing(lines, source, round(error), falls, dict(ups or {}))


def _later(moment: Moment, passed_ms: int) -> Moment:
    """`passed_ms` after `moment`, by the device's own crystal."""
    at = from_ms(to_ms(moment.at) + passed_ms)
    return Moment(at, moment.error_ms + round(DRIFT * passed_ms), moment.source)


def _line(low: int, high: int, first: Moment, last: Moment) -> tuple[_BootLine, float]:
    """The line through both moments. If they contradict each other: a line with the device's own
    rate through the more certain one. Also by how many milliseconds it misses the other."""
    first_ms, last_ms = to_ms(first.at), to_ms(last.at)
    passed = high - low
    bounds = (min(first_ms, last_ms), max(first_ms, last_ms))
    if passed == 0:
        return _BootLine(low, first_ms, 1.0, *bounds), 0.0
    rate = (last_ms - first_ms) / passed
    if abs(rate - 1) <= STRAIGHT_WITHIN or abs(last_ms - first_ms - passed) <= 2:
        return _BootLine(low, first_ms, rate, *bounds), 0.0
    mismatch = abs(last_ms - first_ms - passed)
    if first.error_ms <= last.error_ms:
        return _BootLine(low, first_ms, 1.0, *bounds), mismatch
    return _BootLine(high, last_ms, 1.0, *bounds), mismatch
