"""Placing a session in time: a line from each boot's clock to UTC.

Within one boot the device's crystal is better than any estimate of single moments. So a boot is
placed by its first and last moment, with a straight line between them. Durations then do not depend
on the number of frames, and samples are evenly spaced.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cymba.devices.clocks import DRIFT, DeviceClocks, Moment, TimeSource, from_ms, to_ms
from cymba.devices.counter_laps import HALF_A_LAP_MS, LAP_MS
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.wire.messages import Frame, SamplesFrame

SUREST_FIRST: tuple[TimeSource, ...] = ("anchored", "device_clock", "between_boots", "arrival")
_LAP_MS = int(LAP_MS)
FALLS_MS = 60_000  # by less, what is written in another order than it happened may differ
STRAIGHT_WITHIN = 1e-3  # of the rate; further off, the two moments contradict each other


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

    lines: dict[tuple[int, int], _BootLine]
    source: TimeSource
    error_ms: int
    # Of frames whose counter of 32 bits had begun anew since the boot's first: by store and seq.
    laps: dict[tuple[int, int], int]
    # In some boot `up` fell as the numbers rose: two boots under one number, or a clock set back.
    falls: bool

    def at_ms(self, frame: Frame) -> int:
        """The frame's `up`, in milliseconds since 1970."""
        lap_ms = self.laps.get((frame.store, frame.seq), 0) * _LAP_MS
        return self.lines[frame.store, frame.boot].at_ms(frame.up + lap_ms)

    def last_ms(self, frame: Frame) -> int:
        """The frame's last sample, or its `up` if it has none; in milliseconds since 1970."""
        return self.at_ms(frame) + _length_ms(frame)


def _length_ms(frame: Frame) -> int:
    """From `up` to the frame's last sample."""
    return (frame.n - 1) * frame.dt if isinstance(frame, SamplesFrame) else 0


def boots_of(frames: Iterable[ReadFrame]) -> set[tuple[int, int]]:
    """The store and boot of each frame: the clocks that `place` needs."""
    return {(read.frame.store, read.frame.boot) for read in frames}


def place(frames: Sequence[ReadFrame], clocks: DeviceClocks) -> Timing:
    """Place the boots that `frames` (at least one) were recorded in.

    The result depends on the set of frames alone, not on their order.
    """
    boots: dict[tuple[int, int], list[ReadFrame]] = {}
    for read in frames:
        boots.setdefault((read.frame.store, read.frame.boot), []).append(read)
    lines: dict[tuple[int, int], _BootLine] = {}
    sources: set[TimeSource] = set()
    error = 0.0
    laps: dict[tuple[int, int], int] = {}
    falls = False
    for (store, boot), reads in boots.items():
        of_boot = _laps(reads)
        laps |= of_boot
        moments = [
            (read, read.frame.up + of_boot.get((store, read.frame.seq), 0) * _LAP_MS)
            for read in reads
        ]
        low = min(up for _, up in moments)
        high = max(up + _length_ms(read.frame) for read, up in moments)
        latest = [_latest_at(moments, up) for up in (low, high)]
        first = clocks.at(store, boot, low, latest[0])
        if of_boot:
            last = _later(first, high - low)
        else:
            last = clocks.at(store, boot, high, latest[1]) if high > low else first
        line, mismatch = _line(low, high, first, last)
        lines[store, boot] = line
        sources |= {first.source, last.source}
        error = max(error, first.error_ms + mismatch, last.error_ms + mismatch)
        if _falls(moments):
            # What came after the fall was some time later, and before it arrived.
            falls = True
            came_ms = max(to_ms(read.received_at) for read in reads)
            error = max(error, came_ms - to_ms(first.at))
    return Timing(lines, max(sources, key=SUREST_FIRST.index), round(error), laps, falls)


def _laps(reads: Iterable[ReadFrame]) -> dict[tuple[int, int], int]:
    """The frames of a boot in whose time its counter had begun anew (`cymba.devices.counter_laps`),
    by store and seq: in the order of their numbers it fell by more than half of what it counts."""
    laps: dict[tuple[int, int], int] = {}
    lap, before = 0, None
    for read in sorted(reads, key=lambda read: read.frame.seq):
        up = read.frame.up
        if before is not None and max(before, up) < _LAP_MS:
            # An event may come before the samples around it, so the lap may also go back by one.
            lap += (before - up > HALF_A_LAP_MS) - (up - before > HALF_A_LAP_MS)
        before = up
        if lap > 0:
            laps[read.frame.store, read.frame.seq] = lap
    return laps


def _falls(moments: Iterable[tuple[ReadFrame, int]]) -> bool:
    highest = -math.inf
    for read, up in sorted(moments, key=lambda one: one[0].frame.seq):
        ends = up + _length_ms(read.frame)
        if ends < highest - FALLS_MS:
            return True
        highest = max(highest, ends)
    return False


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


def _latest_at(moments: Iterable[tuple[ReadFrame, int]], up_ms: int) -> datetime:
    """The latest that a moment can have been: before the arrival of the frames after it, allowing
    for drift."""

    def bound(read: ReadFrame, up: int) -> float:
        ahead = up + _length_ms(read.frame) - up_ms
        return to_ms(read.received_at) - ahead + DRIFT * abs(ahead)

    return from_ms(max(0.0, min(bound(read, up) for read, up in moments)))
