"""A session's channels over time, downsampled so that peaks and gaps survive.

Downsampling is M4 (Jugel et al., VLDB 2014;7:797): of each stretch of time the first, last, lowest
and highest reading are kept, so a line drawn through them is, to the pixel, the line through all. A
gap is where readings are further apart than the channel's rate allows. It is shown by a point
without a value, which downsampling keeps.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from cymba.devices.clocks import DeviceClocks, from_ms, to_ms
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.timeline import Beats, Floats, Milliseconds, Timeline, timeline
from cymba.stimulation.session.timing import place
from cymba.stimulation.wire.channels import CHANNELS

MIN_POINTS = 10
# A reading later than this many times its channel's interval begins after a gap.
LATENESS = 1.5
LONGEST_BEAT_MS = 3_000
# Of each stretch of time: four readings, and a gap among them.
_KEPT_OF_A_STRETCH = 5


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
    frames: Sequence[ReadFrame],
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
    """
    timing = place(frames, clocks)
    placed = [(timing.at_ms(read.frame), read.frame) for read in frames]
    started_ms = min(at_ms for at_ms, _ in placed)
    laid_out = timeline(placed, None if channels is None else frozenset(channels))
    low = -np.inf if begin is None else to_ms(begin)
    high = np.inf if end is None else to_ms(end)
    series = []
    for name in sorted([*laid_out.columns, *laid_out.beats], key=in_registrys_order):
        if name in laid_out.beats:
            at_ms, values = _beats(laid_out.beats[name])
        else:
            at_ms, values = _readings(name, laid_out)
        within = (at_ms >= low) & (at_ms < high)
        at_ms, values = at_ms[within], values[within]
        if points is not None:
            kept = thin(at_ms, values, max(points, MIN_POINTS))
            at_ms, values = at_ms[kept], values[kept]
        channel = CHANNELS.get(name)
        series.append(
            ChannelSeries(
                channel=name,
                title=channel.title if channel else name,
                unit=channel.unit if channel else None,
                shown_unit=channel.shown_unit if channel else None,
                scale=channel.scale if channel else 1,
                offset_ms=at_ms - started_ms,
                values=values,
            )
        )
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
    stretch = np.minimum(passed * stretches // (passed[-1] + 1), stretches - 1)
    gap = np.isnan(values)
    read = np.flatnonzero(~gap)
    firsts, lasts = _ends(read, stretch)
    kept = [firsts, lasts, _ends(np.flatnonzero(gap), stretch)[0]]
    if read.size:
        borders = np.searchsorted(read, firsts)
        lengths = np.diff(borders, append=read.size)
        lowest, highest = (
            np.repeat(extreme.reduceat(values[read], borders), lengths)
            for extreme in (np.minimum, np.maximum)
        )
        kept += [
            _ends(read[values[read] == lowest], stretch)[0],
            _ends(read[values[read] == highest], stretch)[1],
        ]
    is_kept = np.zeros(at_ms.size, dtype=np.bool_)
    is_kept[np.concatenate(kept)] = True
    return np.flatnonzero(is_kept)


def _ends(
    indices: NDArray[np.intp], stretch: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last of `indices` in each stretch of time."""
    borders = np.diff(stretch[indices], prepend=-1, append=-1) != 0
    return indices[borders[:-1]], indices[borders[1:]]


def _readings(name: str, laid_out: Timeline) -> tuple[Milliseconds, Floats]:
    """The readings, with a NaN after each one that is followed by a gap."""
    values = laid_out.columns[name]
    known = ~np.isnan(values)
    at_ms, interval_ms = laid_out.at_ms[known], laid_out.interval_ms[known]
    channel = CHANNELS.get(name)
    if channel is not None:
        # Slow channels come in fast frames. The nulls in between are not gaps.
        interval_ms = np.maximum(interval_ms, round(1000 / channel.rate_hz))
    late = np.diff(at_ms) > LATENESS * interval_ms[:-1]
    return _with_gaps(at_ms, values[known], late, interval_ms)


def _beats(beats: Beats) -> tuple[Milliseconds, Floats]:
    """The beats, with a NaN where a beat began much later than the one before it ended."""
    silence_ms = np.diff(beats.at_ms) - beats.values[1:]
    late = ~beats.follows[1:] & (silence_ms > LATENESS * LONGEST_BEAT_MS)
    after_ms = np.full(beats.at_ms.size, 1, dtype=np.int64)
    return _with_gaps(beats.at_ms, beats.values, late, after_ms)


def _with_gaps(
    at_ms: Milliseconds, values: Floats, late: NDArray[np.bool_], after_ms: Milliseconds
) -> tuple[Milliseconds, Floats]:
    where = np.flatnonzero(late)
    gap_ms = at_ms[where] + after_ms[where]
    return np.insert(at_ms, where + 1, gap_ms), np.insert(values, where + 1, np.nan)


def in_registrys_order(name: str) -> tuple[int, str]:
    names = list(CHANNELS)
    return (names.index(name) if name in CHANNELS else len(names), name)
