"""A session's frames as columns, from the frame table and from recordings: what a chart needs.

No frame becomes an object. The rows come as arrays, what was packed of each frame's channels stays
packed, and the readings of one channel are unpacked when they are asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import text

from cymba.database import Prepared
from cymba.devices.clocks import from_ms
from cymba.float_columns import Floats
from cymba.stimulation.archive.integer_columns import Integers
from cymba.stimulation.archive.layouts import Layouts
from cymba.stimulation.archive.packed_lists import PackedLists
from cymba.stimulation.archive.reading import IN_FRAME_TABLE
from cymba.stimulation.archive.recording import RecordedColumns
from cymba.stimulation.wire.frames import KINDS
from cymba.stimulation.wire.messages import SamplesFrame

Indices = NDArray[np.intp]


class Heads(NamedTuple):
    """What stands in each frame beside its readings, as columns. `n` is 0 of a frame that is none
    of samples."""

    store: Integers
    seq: Integers
    boot: Integers
    up_ms: Integers
    received_ms: Integers
    dt: Integers
    n: Integers


class ChannelReadings(NamedTuple):
    """One channel. `frames` have it, each with so many readings as `lengths` says; the readings
    stand one after the other, NaN for null."""

    frames: Indices
    lengths: Integers
    values: Floats


class _ChannelPart(Protocol):
    """Frames from one place."""

    heads: Heads

    @property
    def channels(self) -> Iterable[str]: ...

    def readings(self, channel: str) -> tuple[Indices, Integers, Floats]: ...


@dataclass(frozen=True, slots=True)
class SessionColumns:
    """`places` says of each part which frame of `heads` each of its frames is; -1: it is left
    out."""

    heads: Heads
    channels: frozenset[str]  # also of frames that are left out
    _parts: Sequence[_ChannelPart]
    _places: Sequence[Indices]

    def readings(self, channel: str, ranks: Indices) -> ChannelReadings:
        """In the order of `ranks`, which gives each frame its place; `frames` are those places.
        The last of `ranks` is -1, for frames that are left out."""
        found = [
            (ranks[places[frames]], lengths, values)
            for part, places in zip(self._parts, self._places, strict=True)
            if channel in part.channels
            for frames, lengths, values in [part.readings(channel)]
        ]
        if not found:
            return ChannelReadings(np.empty(0, np.intp), np.empty(0, np.int64), np.empty(0))
        frames, lengths, values = map(_joined, zip(*found, strict=True))
        if frames[0] >= 0 and (frames[1:] > frames[:-1]).all():
            return ChannelReadings(frames, lengths, values)
        order = np.argsort(frames, kind="stable")
        order = order[frames[order] >= 0]
        begins = np.cumsum(lengths) - lengths
        lengths = lengths[order]
        shift = begins[order] - (np.cumsum(lengths) - lengths)
        values = values[np.repeat(shift, lengths) + np.arange(int(lengths.sum()))]
        return ChannelReadings(frames[order], lengths, values)


def load_columns(
    line: psycopg.Connection[Any], device_id: str, sid: UUID, *, before: datetime | None = None
) -> SessionColumns:
    """All frames of a session; with `before`, those received by then.

    One statement reads both places, so that no frame is missed while compaction moves it.
    """
    in_table: list[_ChannelPart] = []
    recorded: list[_ChannelPart] = []
    rows = _BOTH_PLACES.rows(line, device_id=device_id, sid=sid)
    for recorded_store, body, of_table in rows:
        if recorded_store is not None:
            recorded.append(RecordingColumns(recorded_store, body))
        elif of_table is not None:
            columns = np.frombuffer(of_table, dtype=">i8").reshape(-1, len(_ROW))
            in_table.append(TableColumns(columns, body))
    return columns_of(recorded, in_table, before=before)


def columns_of(
    recorded: Sequence[_ChannelPart],
    in_table: Sequence[_ChannelPart],
    *,
    before: datetime | None = None,
) -> SessionColumns:
    """Of a frame that is in both places, the recorded one counts."""
    parts = [*recorded, *in_table]
    nothing = np.empty(0, dtype=np.int64)
    of_parts = [one.heads for one in parts] or [Heads(*[nothing] * len(Heads._fields))]
    heads = Heads(*map(_joined, zip(*of_parts, strict=True)))
    is_kept = np.ones(heads.seq.size, dtype=np.bool_)
    if recorded and in_table:
        keys = list(zip(heads.store.tolist(), heads.seq.tolist(), strict=True))
        count = sum(one.heads.seq.size for one in recorded)
        known = set(keys[:count])
        is_kept[count:] = [key not in known for key in keys[count:]]
    if before is not None:
        is_kept &= heads.received_ms * 1000 < (before - from_ms(0)) // _MICROSECOND
    places = np.where(is_kept, np.cumsum(is_kept) - 1, -1)
    borders = np.cumsum([one.heads.seq.size for one in parts])[:-1]
    return SessionColumns(
        heads if is_kept.all() else Heads(*(column[is_kept] for column in heads)),
        frozenset(chain.from_iterable(one.channels for one in parts)),
        parts,
        np.split(places, borders) if parts else [],
    )


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


class TableColumns:
    """Rows of the frame table, with the bodies of the samples frames (`frames.pack`) as one array
    of msgpack. `rows` have the columns of `_ROW`."""

    def __init__(self, rows: Integers, bodies: bytes) -> None:
        columns_of_rows = rows.T.astype(np.int64)
        order = np.lexsort(columns_of_rows[1::-1])  # by store and seq, which is mostly that of time
        store, seq, boot, up_ms, received_ms, kind = columns_of_rows[:, order]
        self._samples = samples = (kind == _SAMPLES_KIND).nonzero()[0]
        lists: dict[str, list[msgspec.Raw]] = defaultdict(list)
        layouts: dict[tuple[str, ...], int] = {}
        of_frames: list[int] = []
        dt, n = np.zeros((2, kind.size), dtype=np.int64)
        packed = _BODIES.decode(bodies)
        if packed:
            place = (columns_of_rows[5] == _SAMPLES_KIND).cumsum() - 1  # of each row's body
            packed = [packed[one] for one in place[order[samples]].tolist()]
            dt[samples], n[samples], _ = zip(*packed, strict=True)
        for _, _, columns in packed:
            of_frames.append(layouts.setdefault(tuple(columns), len(layouts)))
            for name, column in columns.items():
                lists[name].append(column)
        del packed  # half of the memory of many small frames
        self.heads = Heads(store, seq, boot, up_ms, received_ms, dt, n)
        self._layouts = Layouts(layouts, of_frames)
        self._lists = PackedLists([*chain.from_iterable(lists.values())])
        ends = accumulate(map(len, lists.values()), initial=0)
        self._lists_of = dict(zip(lists, pairwise(ends), strict=True))

    @property
    def channels(self) -> Iterable[str]:
        return self._lists_of.keys()

    def readings(self, channel: str) -> tuple[Indices, Integers, Floats]:
        first, last = self._lists_of[channel]
        frames = self._samples[self._layouts.frames(channel)]
        return frames, self._lists.lengths[first:last], self._lists.numbers(first, last)


class RecordingColumns:
    """A recording of one store."""

    def __init__(self, store: int, body: bytes) -> None:
        self._recorded = recorded = RecordedColumns(body)
        stores = np.full(recorded.seq.size, store, dtype=np.int64)
        dt, n = np.zeros((2, recorded.seq.size), dtype=np.int64)
        dt[recorded.samples], n[recorded.samples] = recorded.dt, recorded.n
        self.heads = Heads(
            stores, recorded.seq, recorded.boot, recorded.up_ms, recorded.received_ms, dt, n
        )

    @property
    def channels(self) -> Iterable[str]:
        return self._recorded.channels

    def readings(self, channel: str) -> tuple[Indices, Integers, Floats]:
        frames, lengths, values = self._recorded.readings(channel)
        return self._recorded.samples[frames], lengths, values


_MICROSECOND = timedelta(microseconds=1)
_SAMPLES_KIND = KINDS[SamplesFrame]
_BODIES = msgspec.msgpack.Decoder(list[tuple[int, int, dict[str, msgspec.Raw]]])
_ROW = (
    "f.store",
    "f.seq",
    "f.boot",
    "f.up_ms",
    "floor(extract(epoch FROM f.received_at) * 1000)",
    "f.kind",
)
_OF_SAMPLES = f"FILTER (WHERE f.kind = {_SAMPLES_KIND})"
_IN_BYTES = " || ".join(f"int8send(CAST({column} AS bigint))" for column in _ROW)
# `string_agg` sees the frames in one order both times, whichever that is. Before the bodies stands
# how msgpack begins an array of so many.
_BOTH_PLACES = Prepared(
    text(
        f"""
        SELECT CAST(NULL AS bigint),
               CAST('\\xdd' AS bytea) || int4send(CAST(count(*) {_OF_SAMPLES} AS integer))
                 || coalesce(string_agg(f.body, CAST('' AS bytea)) {_OF_SAMPLES}, ''),
               string_agg({_IN_BYTES}, CAST('' AS bytea))
        {IN_FRAME_TABLE}
        UNION ALL
        SELECT r.store, r.body, NULL FROM recording AS r
        WHERE r.device_id = :device_id AND r.sid = :sid
        """  # noqa: S608 - a constant of this code
    ),
    binary=True,
)
