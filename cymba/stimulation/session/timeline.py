"""A session's frames as columns over time, from which summary and telemetry are computed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.messages import Frame, SamplesFrame

Floats = NDArray[np.float64]
Milliseconds = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Beats:
    """One per-beat channel. `at_ms` is when a beat's interval ended. `follows` says that the beat
    came right after the one before it in the arrays."""

    at_ms: Milliseconds
    values: Floats
    follows: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Timeline:
    """All samples of a session in time order, in wire units; NaN where there is no reading."""

    at_ms: Milliseconds  # since 1970
    interval_ms: Milliseconds  # how long each sample stands for
    boot: NDArray[np.int64]  # index of the session's boot, in the order in which they began
    columns: dict[str, Floats]
    beats: dict[str, Beats]


def is_per_beat(channel: str) -> bool:
    return channel in CHANNELS and CHANNELS[channel].layout == "per_beat"


def timeline(
    frames: Iterable[tuple[int, Frame]], channels: frozenset[str] | None = None
) -> Timeline:
    """Place the samples of `frames`, which come with their times in milliseconds since 1970; only
    those of `channels`, if given."""
    placed = sorted(
        ((at_ms, frame) for at_ms, frame in frames if isinstance(frame, SamplesFrame)),
        key=lambda one: (one[0], one[1].store, one[1].boot, one[1].seq),
    )
    names = sorted({name for _, frame in placed for name in frame.c})
    if channels is not None:
        names = [name for name in names if name in channels]
    counts = np.array([frame.n for _, frame in placed], dtype=np.int64)
    steps = np.array([frame.dt for _, frame in placed], dtype=np.int64)
    starts = np.array([at_ms for at_ms, _ in placed], dtype=np.int64)
    before = np.cumsum(counts, dtype=np.int64) - counts
    within = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(before, counts)
    interval_ms = np.repeat(steps, counts)
    at_ms = np.repeat(starts, counts) + within * interval_ms
    boots: dict[tuple[int, int], int] = {}
    numbers = [boots.setdefault((f.store, f.boot), len(boots)) for _, f in placed]
    boot = np.repeat(np.array(numbers, dtype=np.int64), counts)
    columns: dict[str, Floats] = {
        name: _column(name, [frame for _, frame in placed])
        for name in names
        if not is_per_beat(name)
    }
    if np.any(np.diff(at_ms) < 0):  # two boots overlap
        order = np.argsort(at_ms, kind="stable")
        at_ms, interval_ms, boot = at_ms[order], interval_ms[order], boot[order]
        columns = {name: column[order] for name, column in columns.items()}
    beats = {name: _beats(name, placed) for name in names if is_per_beat(name)}
    return Timeline(at_ms, interval_ms, boot, columns, beats)


def _column(name: str, frames: Sequence[SamplesFrame]) -> Floats:
    missing: dict[int, Floats] = {}  # by how many
    parts = []
    for frame in frames:
        column: Any = frame.c.get(name, ())
        if not len(column):
            column = missing.get(frame.n)
            if column is None:
                column = missing[frame.n] = np.full(frame.n, np.nan)
        parts.append(np.asarray(column, dtype=np.float64))  # None becomes NaN
    return np.concatenate(parts) if parts else np.empty(0)


def _beats(name: str, placed: Sequence[tuple[int, SamplesFrame]]) -> Beats:
    """The beats of a frame follow one another from its beginning.

    A beat follows the one before it unless a null lies between them or a frame is missing.
    """
    columns: list[Floats] = [
        np.asarray(frame.c.get(name, ()), dtype=np.float64) for _, frame in placed
    ]
    every = np.concatenate(columns) if columns else np.empty(0)
    known = ~np.isnan(every)
    firsts = np.cumsum([0, *(column.size for column in columns)])
    # Of all beats one after the other, without a pause: where each one ends, and each frame begins.
    ends_ms = np.cumsum(np.where(known, every, 0.0))
    begins_ms = np.concatenate([[0.0], ends_ms])[firsts].tolist()
    shifts_ms = np.empty(len(columns))
    follows = np.concatenate([[False], known[:-1]])[: every.size]
    expected_ms: float | None = None  # where the next frame begins, if none is missing
    last_ms: float | None = None  # where the last beat ended
    previous: SamplesFrame | None = None
    for at, (at_ms, frame) in enumerate(placed):
        together = (
            previous is not None
            and expected_ms is not None
            and (frame.store, frame.boot) == (previous.store, previous.boot)
            and abs(at_ms - expected_ms) <= frame.dt
        )
        # Beats continue from one frame into the next; they do not start anew with it.
        begin_ms = at_ms if last_ms is None or not together else max(at_ms, last_ms)
        shifts_ms[at] = begin_ms - begins_ms[at]
        first, after = firsts[at], firsts[at + 1]
        if first < after:
            follows[first] = together
            if known[first:after].any():
                last_ms = begins_ms[at + 1] + shifts_ms[at]
        expected_ms = at_ms + frame.n * frame.dt if name in frame.c else None
        previous = frame
    ends_ms += np.repeat(shifts_ms, np.diff(firsts))
    return Beats(
        np.maximum.accumulate(np.round(ends_ms[known]).astype(np.int64)),
        every[known],
        follows[known],
    )
