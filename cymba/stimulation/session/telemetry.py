"""A session's channels over time, downsampled so that peaks and gaps survive.

Downsampling is M4 (Jugel et al., VLDB 2014;7:797): of each stretch of time the first, last, lowest
and highest reading are kept, so a line drawn through them is, to the pixel, the line through all. A
gap is where readings are further apart than the channel's rate allows. It is shown by a point
without a value, which downsampling keeps.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np

from cymba.devices.clocks import DeviceClocks, from_ms, to_ms
from cymba.float_columns import Floats
from cymba.stimulation.archive.columns import Indices, SessionColumns
from cymba.stimulation.session.timeline import Timeline, is_per_beat
from cymba.stimulation.session.timing import Milliseconds, place_columns
from cymba.stimulation.wire.channels import CHANNELS

MIN_POINTS = 10
MOST_READINGS = 1_000_000
"""In one answer. A day of ten channels at 1 Hz has 864,000."""
# A reading later than this many times its channel's interval begins after a gap.
LATENESS = 1.5
LONGEST_BEAT_MS = 3_000
# Of each stretch of time: four readings, and a gap among them.
_KEPT_OF_A_STRETCH = 5


class TooManyReadings(Exception):
    """More than `MOST_READINGS`."""


@dataclass(frozen=True, slots=True)
class ChannelSeries:
    """One channel. `values` are in `unit`. NaN means that readings are missing after this point."""

    channel: str
    title: str
    unit: str | None  # UCUM; null for a channel that is not known
    shown_unit: str | None  # UCUM, that people read it in: `values / scale`
    scale: int
    offset_ms: Milliseconds  # since the session's `started_at`, never falling
    values: Floats


@dataclass(frozen=True, slots=True)
class Telemetry:
    started_at: datetime
    series: tuple[ChannelSeries, ...]


def telemetry(
    columns: SessionColumns,
    clocks: DeviceClocks,
    *,
    channels: Collection[str] | None = None,
    points: int | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
) -> Telemetry:
    """The `channels` (all by default) of a session of at least one frame.

    Each channel has at most `points` points (at least `MIN_POINTS`; all by default), from `begin`
    to before `end`. A channel that the session does not have is left out.

    Raises:
        TooManyReadings: there are more than `MOST_READINGS`.
    """
    at_ms = place_columns(columns.heads, clocks)
    started_ms = int(at_ms.min())
    window = Window(
        low_ms=-np.inf if begin is None else to_ms(begin),
        high_ms=np.inf if end is None else to_ms(end),
        most=None if points is None else max(points, MIN_POINTS),
    )
    drawing = _Drawing(Timeline(columns, at_ms), window)
    wanted = columns.channels if channels is None else columns.channels & frozenset(channels)
    count = 0
    series: list[ChannelSeries] = []
    for name in sorted(wanted, key=_in_registrys_order):  # one after the other, to bound the memory
        found = drawing.points(name)
        if found is None:
            continue
        of_channel_ms, values = found
        count += values.size
        if count > MOST_READINGS:
            raise TooManyReadings
        channel = CHANNELS.get(name)
        series.append(
            ChannelSeries(
                channel=name,
                title=channel.title if channel else name,
                unit=channel.unit if channel else None,
                shown_unit=channel.shown_unit if channel else None,
                scale=channel.scale if channel else 1,
                offset_ms=of_channel_ms - started_ms,
                values=values,
            )
        )
    return Telemetry(from_ms(started_ms), tuple(series))


class Window(NamedTuple):
    """What of a channel is shown: from `low_ms` to before `high_ms`, and at most `most` points,
    which are `MIN_POINTS` or more."""

    low_ms: float = -np.inf
    high_ms: float = np.inf
    most: int | None = None


class Points:
    """When a channel has points: its readings, and gaps between them.

    If there are too many, those of each stretch of time are kept that are its first, last, lowest
    and highest reading, and its first gap.
    """

    def __init__(
        self, at_ms: Milliseconds, gaps_ms: Milliseconds, before: Indices, window: Window
    ) -> None:
        """`before` says of each gap which reading it is right before. No time falls."""
        bounds_ms = (window.low_ms, window.high_ms)
        self._within = slice(*at_ms.searchsorted(bounds_ms))
        self._at_ms = at_ms = at_ms[self._within]
        if gaps_ms.size:
            within = slice(*gaps_ms.searchsorted(bounds_ms))
            gaps_ms, before = gaps_ms[within], before[within] - self._within.start
        self._stretches: tuple[Indices, Indices] | None = None  # where each begins and ends
        if window.most is not None and at_ms.size + gaps_ms.size > window.most:
            ends = np.concatenate((at_ms[:1], at_ms[-1:], gaps_ms[:1], gaps_ms[-1:]))
            borders_ms = _borders_ms(ends.min(), ends.max(), window.most // _KEPT_OF_A_STRETCH)
            self._stretches = _filled(at_ms.searchsorted(borders_ms), at_ms.size)
            if gaps_ms.size:
                firsts = _filled(gaps_ms.searchsorted(borders_ms), gaps_ms.size)[0]
                gaps_ms, before = gaps_ms[firsts], before[firsts]
        self._gaps_ms, self._before = gaps_ms, before

    def shown(self, values: Floats) -> tuple[Milliseconds, Floats]:
        """When each point is, and its value: NaN at a gap. `values` are those of the readings."""
        at_ms, values, before = self._at_ms, values[self._within], self._before
        if self._stretches is not None:
            kept = _telling(values, *self._stretches)
            at_ms, values, before = at_ms[kept], values[kept], kept.searchsorted(before)
        if not before.size:
            return at_ms, values
        is_gap = np.zeros(values.size + before.size, dtype=np.bool_)
        is_gap[before + np.arange(before.size)] = True
        times_ms, shown = np.empty(is_gap.size, dtype=np.int64), np.full(is_gap.size, np.nan)
        times_ms[is_gap], times_ms[~is_gap], shown[~is_gap] = self._gaps_ms, at_ms, values
        return times_ms, shown


def _borders_ms(low_ms: int, high_ms: int, count: int) -> Milliseconds:
    """Where `count` stretches begin, which are as long."""
    return low_ms - (-np.arange(count) * (high_ms - low_ms + 1) // count)


def _filled(begins: Indices, end: int) -> tuple[Indices, Indices]:
    """Where stretches begin and end, but for empty ones."""
    ends = np.append(begins[1:], end)
    is_filled = begins < ends
    return begins[is_filled], ends[is_filled]


def _telling(values: Floats, begins: Indices, ends: Indices) -> Indices:
    """The first, last, lowest and highest of each stretch, in order."""
    lowest, highest = (
        (values == extreme.reduceat(values, begins).repeat(ends - begins)).nonzero()[0]
        for extreme in (np.minimum, np.maximum)
    )
    is_kept = np.zeros(values.size, dtype=np.bool_)
    is_kept[begins] = is_kept[ends - 1] = True
    is_kept[lowest[lowest.searchsorted(begins)]] = True
    is_kept[highest[highest.searchsorted(ends) - 1]] = True
    return is_kept.nonzero()[0]


class _Drawing:
    """The points of one channel after the other."""

    def __init__(self, laid_out: Timeline, window: Window) -> None:
        self._laid_out = laid_out
        self._window = window
        self._least_ms = int(laid_out.interval_ms.min()) if laid_out.interval_ms.size else 0
        # Of the last channel at that rate: by its samples. The next one often has the same.
        self._last: dict[int, tuple[Indices | None, Points]] = {}

    def points(self, channel: str) -> tuple[Milliseconds, Floats] | None:
        """As `Points.shown`. None: no frame has the channel."""
        return self._of_beats(channel) if is_per_beat(channel) else self._of_readings(channel)

    def _of_readings(self, name: str) -> tuple[Milliseconds, Floats] | None:
        readings = self._laid_out.readings(name)
        if readings is None:
            return None
        # Slow channels come in fast frames. The nulls in between are not gaps.
        slowest_ms = round(1000 / CHANNELS[name].rate_hz) if name in CHANNELS else 0
        samples, points = self._last.get(slowest_ms, (None, None))
        if points is None or not _are_same(samples, readings.samples):
            points = self._points(readings.samples, slowest_ms)
            self._last[slowest_ms] = readings.samples, points
        return points.shown(readings.values)

    def _points(self, samples: Indices | None, slowest_ms: int) -> Points:
        """With a gap after each of the `samples` that the next one does not follow in time."""
        at_ms, interval_ms = self._laid_out.at_ms, self._laid_out.interval_ms
        if samples is not None:
            at_ms = at_ms[samples]
        passed_ms = at_ms[1:] - at_ms[:-1]
        late = (passed_ms > LATENESS * max(self._least_ms, slowest_ms)).nonzero()[0]
        interval_ms = interval_ms[late if samples is None else samples[late]]
        interval_ms = np.maximum(interval_ms, slowest_ms)
        is_late = passed_ms[late] > LATENESS * interval_ms
        late, interval_ms = late[is_late], interval_ms[is_late]
        return Points(at_ms, at_ms[late] + interval_ms, late + 1, self._window)

    def _of_beats(self, name: str) -> tuple[Milliseconds, Floats] | None:
        """With a gap where a beat began much later than the one before it ended."""
        beats = self._laid_out.beats(name)
        if beats is None:
            return None
        apart = (~beats.follows[1:]).nonzero()[0]
        silence_ms = beats.at_ms[apart + 1] - beats.at_ms[apart] - beats.values[apart + 1]
        late = apart[silence_ms > LATENESS * LONGEST_BEAT_MS]
        points = Points(beats.at_ms, beats.at_ms[late] + 1, late + 1, self._window)
        return points.shown(beats.values)


def _are_same(one: Indices | None, other: Indices | None) -> bool:
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def _in_registrys_order(name: str) -> tuple[int, str]:
    return _ORDER.get(name, len(_ORDER)), name


_ORDER = {name: at for at, name in enumerate(CHANNELS)}
