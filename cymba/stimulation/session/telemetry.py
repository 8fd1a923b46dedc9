"""A session's channels over time, downsampled so that peaks and gaps survive.

Downsampling is M4 (Jugel et al., VLDB 2014;7:797): of each stretch of time the first, last, lowest
and highest reading are kept, so a line drawn through them is, to the pixel, the line through all. A
gap is where readings are further apart than the channel's rate allows. It is shown by a point
without a value, which downsampling keeps.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from cymba.devices.clocks import DeviceClocks, from_ms, to_ms
from cymba.float_columns import Floats
from cymba.stimulation.archive.columns import SessionColumns
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
    laid_out = Timeline(columns, at_ms)
    wanted = columns.channels if channels is None else columns.channels & frozenset(channels)
    low = -np.inf if begin is None else to_ms(begin)
    high = np.inf if end is None else to_ms(end)
    series: list[ChannelSeries] = []
    for name in sorted(wanted, key=_in_registrys_order):  # one after the other, to bound the memory
        found = _beats(name, laid_out) if is_per_beat(name) else _readings(name, laid_out)
        if found is None:
            continue
        of_channel_ms, values = found
        if begin is not None or end is not None:
            within = (of_channel_ms >= low) & (of_channel_ms < high)
            of_channel_ms, values = of_channel_ms[within], values[within]
        if points is not None:
            kept = thin(of_channel_ms, values, max(points, MIN_POINTS))
            of_channel_ms, values = of_channel_ms[kept], values[kept]
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
        if sum(one.values.size for one in series) > MOST_READINGS:
            raise TooManyReadings
    return Telemetry(from_ms(started_ms), tuple(series))


def thin(at_ms: Milliseconds, values: Floats, points: int) -> NDArray[np.intp]:
    """Indices of at most `points` of the series, in order. They are the first, last, lowest and
    highest value of each stretch of time, and its first gap (NaN).

    `at_ms` never falls, and `points` is at least `MIN_POINTS`.
    """
    if at_ms.size <= points:
        return np.arange(at_ms.size)
    stretches = points // _KEPT_OF_A_STRETCH
    passed = at_ms - at_ms[0]
    borders = np.searchsorted(passed, -(-np.arange(stretches) * (passed[-1] + 1) // stretches))
    gap = np.isnan(values)
    gaps, read = np.flatnonzero(gap), np.flatnonzero(~gap)
    is_kept = np.zeros(at_ms.size, dtype=np.bool_)
    is_kept[gaps[_filled(gaps, borders)[0]]] = True
    if read.size:
        known = values[read]
        begins, ends = _filled(read, borders)
        lowest, highest = (
            np.flatnonzero(known == np.repeat(extreme.reduceat(known, begins), ends - begins))
            for extreme in (np.minimum, np.maximum)
        )
        kept = (
            begins,
            ends - 1,
            lowest[np.searchsorted(lowest, begins)],
            highest[np.searchsorted(highest, ends) - 1],
        )
        is_kept[read[np.concatenate(kept)]] = True
    return np.flatnonzero(is_kept)


def _filled(
    indices: NDArray[np.intp], borders: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where those of `indices` begin and end that lie in each stretch, but for empty stretches."""
    begins = np.searchsorted(indices, borders)
    ends = np.append(begins[1:], indices.size)
    is_filled = begins < ends
    return begins[is_filled], ends[is_filled]


def _readings(name: str, laid_out: Timeline) -> tuple[Milliseconds, Floats] | None:
    """The readings, with a NaN after each one that is followed by a gap."""
    values = laid_out.readings(name)
    if values is None:
        return None
    at_ms, interval_ms = laid_out.at_ms, laid_out.interval_ms
    known = ~np.isnan(values)
    if not known.all():
        values, at_ms, interval_ms = values[known], at_ms[known], interval_ms[known]
    channel = CHANNELS.get(name)
    if channel is not None:
        # Slow channels come in fast frames. The nulls in between are not gaps.
        interval_ms = np.maximum(interval_ms, round(1000 / channel.rate_hz))
    late = np.diff(at_ms) > LATENESS * interval_ms[:-1]
    return _with_gaps(at_ms, values, late, interval_ms)


def _beats(name: str, laid_out: Timeline) -> tuple[Milliseconds, Floats] | None:
    """The beats, with a NaN where a beat began much later than the one before it ended."""
    beats = laid_out.beats(name)
    if beats is None:
        return None
    silence_ms = np.diff(beats.at_ms) - beats.values[1:]
    late = ~beats.follows[1:] & (silence_ms > LATENESS * LONGEST_BEAT_MS)
    after_ms = np.full(beats.at_ms.size, 1, dtype=np.int64)
    return _with_gaps(beats.at_ms, beats.values, late, after_ms)


def _with_gaps(
    at_ms: Milliseconds, values: Floats, late: NDArray[np.bool_], after_ms: Milliseconds
) -> tuple[Milliseconds, Floats]:
    where = np.flatnonzero(late)
    if not where.size:
        return at_ms, values
    gap_ms = at_ms[where] + after_ms[where]
    return np.insert(at_ms, where + 1, gap_ms), np.insert(values, where + 1, np.nan)


def _in_registrys_order(name: str) -> tuple[int, str]:
    return _ORDER.get(name, len(_ORDER)), name


_ORDER = {name: at for at, name in enumerate(CHANNELS)}
