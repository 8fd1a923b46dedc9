"""A session's channels over time, from the columns of its frames."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cymba.float_columns import Floats
from cymba.stimulation.archive.columns import Indices, SessionColumns
from cymba.stimulation.session.timing import Milliseconds
from cymba.stimulation.wire.channels import CHANNELS


@dataclass(frozen=True, slots=True)
class Beats:
    """One per-beat channel. `at_ms` is when a beat's interval ended. `follows` says that the beat
    came right after the one before it in the arrays."""

    at_ms: Milliseconds
    values: Floats
    follows: NDArray[np.bool_]


class KnownReadings(NamedTuple):
    """One sampled channel. `samples` are those that have a reading; None: all have."""

    samples: Indices | None
    values: Floats


def is_per_beat(channel: str) -> bool:
    return channel in CHANNELS and CHANNELS[channel].layout == "per_beat"


class Timeline:
    """The samples of a session in time order, in wire units. A channel is read when asked for."""

    def __init__(self, columns: SessionColumns, at_ms: Milliseconds) -> None:
        """`at_ms`: when each frame of `columns` was, since 1970."""
        heads = columns.heads
        frames = heads.n.nonzero()[0]
        keys = (heads.seq, heads.boot, heads.store, at_ms)
        frames = frames[np.lexsort(tuple(key[frames] for key in keys))]
        self._columns = columns
        self._ranks = np.full(heads.n.size + 1, -1)
        self._ranks[frames] = np.arange(frames.size)
        self._store, self._boot = heads.store[frames], heads.boot[frames]
        self._starts_ms, self._steps_ms, self._counts = (
            column[frames] for column in (at_ms, heads.dt, heads.n)
        )
        self._begins = self._counts.cumsum() - self._counts
        within = np.arange(int(self._counts.sum())) - self._begins.repeat(self._counts)
        self.interval_ms: Milliseconds = self._steps_ms.repeat(self._counts)
        """How long each sample stands for."""
        self.at_ms: Milliseconds = self._starts_ms.repeat(self._counts) + within * self.interval_ms
        """When each sample was, since 1970."""
        self._order: Indices | None = None
        if (self.at_ms[1:] < self.at_ms[:-1]).any():  # two boots overlap
            self._order = np.argsort(self.at_ms, kind="stable")
            self.at_ms, self.interval_ms = self.at_ms[self._order], self.interval_ms[self._order]

    def readings(self, channel: str) -> KnownReadings | None:
        """Without nulls. None: no frame has the channel."""
        frames, lengths, values = self._columns.readings(channel, self._ranks)
        if not frames.size:
            return None
        samples: Indices | None = None
        if values.size != self.at_ms.size:
            shifts = self._begins[frames] - (np.cumsum(lengths) - lengths)
            samples = np.repeat(shifts, lengths) + np.arange(values.size)
        if self._order is not None:
            if samples is None:
                values = values[self._order]
            else:
                places = np.empty(self._order.size, dtype=np.intp)
                places[self._order] = np.arange(places.size)
                order = np.argsort(places[samples])
                samples, values = places[samples][order], values[order]
        is_null = np.isnan(values)
        if is_null.any():
            known = (~is_null).nonzero()[0]
            samples, values = known if samples is None else samples[known], values[known]
        return KnownReadings(samples, values)

    def beats(self, channel: str) -> Beats | None:
        """None: no frame has the channel.

        The beats of a frame follow one another from its beginning. A beat follows the one before it
        unless a null lies between them or a frame is missing.
        """
        frames, lengths, every = self._columns.readings(channel, self._ranks)
        if not frames.size:
            return None
        known = ~np.isnan(every)
        # Of all beats one after the other, without a pause: where each ends, and each frame begins.
        ends_ms = np.where(known, every, 0.0).cumsum()
        ends_at = np.append(0, lengths.cumsum())
        begins_ms = np.append(0.0, ends_ms)[ends_at[:-1]]
        together = self._goes_on(frames)
        # Beats continue from one frame into the next; they do not start anew with it. Only a frame
        # with a beat says when the last one ended.
        counted = np.append(0, known.cumsum())[ends_at]
        beating = (counted[1:] > counted[:-1]).nonzero()[0]
        shifts_ms = self._starts_ms[frames] - begins_ms
        apart = (~together[beating]).nonzero()[0].tolist()
        for begin, end in pairwise((0, *apart, beating.size)):
            run = beating[begin:end]
            shifts_ms[run] = np.maximum.accumulate(shifts_ms[run])
        ends_ms += shifts_ms.repeat(lengths)
        follows = np.append(False, known[:-1])[: every.size]
        follows[ends_at[:-1][lengths > 0]] = together[lengths > 0]
        return Beats(
            np.maximum.accumulate(np.rint(ends_ms[known]).astype(np.int64)),
            every[known],
            follows[known],
        )

    def _goes_on(self, frames: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of `frames` begin where the one right before them ended, in the same boot."""
        before = frames - 1
        is_next = np.append(False, frames[1:] == frames[:-1] + 1)
        ended_ms = (self._starts_ms + self._counts * self._steps_ms)[before]
        late_ms = np.abs(self._starts_ms[frames] - ended_ms)
        same_boot = (self._store[frames] == self._store[before]) & (
            self._boot[frames] == self._boot[before]
        )
        goes_on: NDArray[np.bool_] = is_next & same_boot & (late_ms <= self._steps_ms[frames])
        return goes_on
