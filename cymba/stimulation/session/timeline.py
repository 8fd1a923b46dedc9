"""A session's frames as columns over time, from which summary and telemetry are computed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.timing import Timing
from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.messages import SamplesFrame

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


@dataclass(slots=True)
class _BeatRows:
    at_ms: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    follows: list[bool] = field(default_factory=list)


def is_per_beat(channel: str) -> bool:
    return channel in CHANNELS and CHANNELS[channel].layout == "per_beat"


def timeline(
    frames: Iterable[ReadFrame], timing: Timing, channels: frozenset[str] | None = None
) -> Timeline:
    """Place the samples of `frames` in time; only those of `channels`, if given."""
    placed = sorted(
        ((timing.at_ms(r.frame), r.frame) for r in frames if isinstance(r.frame, SamplesFrame)),
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
    parts = [
        np.asarray(frame.c[name], dtype=np.float64)  # None becomes NaN
        if len(frame.c.get(name, ()))
        else np.full(frame.n, np.nan)
        for frame in frames
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _beats(name: str, placed: Sequence[tuple[int, SamplesFrame]]) -> Beats:
    """The beats of a frame follow one another from its beginning.

    A beat follows the one before it unless a null lies between them or a frame is missing.
    """
    rows = _BeatRows()
    expected_ms: float | None = None  # where the next frame begins, if none is missing
    previous: SamplesFrame | None = None
    for at_ms, frame in placed:
        together = (
            previous is not None
            and expected_ms is not None
            and (frame.store, frame.boot) == (previous.store, previous.boot)
            and abs(at_ms - expected_ms) <= frame.dt
        )
        end_ms = float(at_ms)
        if together and rows.at_ms:
            # Beats continue from one frame into the next; they do not start anew with it.
            end_ms = max(end_ms, rows.at_ms[-1])
        for value in np.asarray(frame.c.get(name, ()), dtype=np.float64).tolist():
            if math.isnan(value):
                together = False
                continue
            end_ms += value
            rows.at_ms.append(end_ms)
            rows.values.append(value)
            rows.follows.append(together)
            together = True
        if name not in frame.c:
            together = False
        expected_ms = at_ms + frame.n * frame.dt if name in frame.c else None
        previous = frame
    ends_ms = np.round(np.array(rows.at_ms, dtype=np.float64)).astype(np.int64)
    return Beats(
        np.maximum.accumulate(ends_ms),
        np.array(rows.values, dtype=np.float64),
        np.array(rows.follows, dtype=np.bool_),
    )
