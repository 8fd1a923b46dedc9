"""A session's frames as columns, from the frame table and from recordings: what a chart needs.

No frame becomes an object. The rows come as arrays, what was packed of each frame's channels stays
packed, and the readings of one channel are unpacked when they are asked for.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
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

    def readings(self, channel: str) -> tuple[Sequence[int] | Indices, Integers, Floats]: ...


@dataclass(frozen=True, slots=True)
class SessionColumns:
    """`places` says of each part which frame of `heads` each of its frames is; -1: it is left
    out."""

    heads: Heads
    channels: frozenset[str]  # also of frames that are left out
    _parts: Sequence[_ChannelPart]
    _places: Sequence[Indices]

    def readings(self, channel: str, ranks: Indices) -> ChannelReadings:
        """In the order of `ranks`, which gives each frame its place; `frames` are those places."""
        ranks = np.append(ranks, -1)  # of a frame that is left out, whose place is -1
        found = [
            (ranks[places[np.asarray(frames, dtype=np.intp)]], lengths, values)
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
    for recorded_store, body, *columns in rows:
        if recorded_store is not None:
            recorded.append(RecordingColumns(recorded_store, body))
        elif columns[0] is not None:
            in_table.append(TableColumns(TableRows(*columns), body or b""))
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


class TableRows(NamedTuple):
    """Columns of the frame table."""

    store: Sequence[int]
    seq: Sequence[int]
    boot: Sequence[int]
    kind: Sequence[int]
    up_ms: Sequence[int]
    received_ms: Sequence[int]


class TableColumns:
    """Rows of the frame table, with the bodies of the samples frames one after the other
    (`frames.pack`)."""

    def __init__(self, rows: TableRows, bodies: bytes) -> None:
        samples = np.flatnonzero(np.array(rows.kind) == _SAMPLES_KIND)
        packed = _BODIES.decode(_array_head(samples.size) + bodies)
        columns: dict[str, tuple[list[int], list[msgspec.Raw]]] = {}
        for frame, (_, _, of_frame) in zip(samples.tolist(), packed, strict=True):
            for name, column in of_frame.items():
                if name in columns:
                    frames, parts = columns[name]
                    frames.append(frame)
                    parts.append(column)
                else:
                    columns[name] = [frame], [column]
        self._columns = columns
        dt, n = np.zeros((2, len(rows.seq)), dtype=np.int64)
        dt[samples], n[samples] = [one[0] for one in packed], [one[1] for one in packed]
        store, seq, boot, up_ms, received_ms = (
            np.array(one, dtype=np.int64)
            for one in (rows.store, rows.seq, rows.boot, rows.up_ms, rows.received_ms)
        )
        self.heads = Heads(store, seq, boot, up_ms, received_ms, dt, n)

    @property
    def channels(self) -> Iterable[str]:
        return self._columns.keys()

    def readings(self, channel: str) -> tuple[Sequence[int], Integers, Floats]:
        frames, parts = self._columns[channel]
        unpacked = _LISTS.decode(_array_head(len(parts)) + b"".join(parts))
        lengths = np.fromiter(map(len, unpacked), np.int64, len(unpacked))
        return frames, lengths, _floats(list(chain.from_iterable(unpacked)))


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


def _floats(values: list[int | None]) -> Floats:
    try:
        # A third of the time that NumPy takes to look at each number of a list.
        whole = struct.pack(f"{len(values)}q", *values)
    except struct.error:  # null among them, which becomes NaN
        return np.array(values, dtype=np.float64)
    return np.frombuffer(whole, dtype=np.int64).astype(np.float64)


def _array_head(count: int) -> bytes:
    """How msgpack begins an array of so many."""
    return b"\xdd" + struct.pack(">I", count)


_MICROSECOND = timedelta(microseconds=1)
_SAMPLES_KIND = KINDS[SamplesFrame]
_BODIES = msgspec.msgpack.Decoder(list[tuple[int, int, dict[str, msgspec.Raw]]])
_LISTS: msgspec.msgpack.Decoder[list[list[int | None]]] = msgspec.msgpack.Decoder(
    list[list[int | None]]
)
# All aggregates of a row see the frames in one order, whichever that is.
_BOTH_PLACES = Prepared(
    text(
        f"""
        SELECT CAST(NULL AS bigint), string_agg(f.body, CAST('' AS bytea))
                 FILTER (WHERE f.kind = {_SAMPLES_KIND}),
               array_agg(f.store), array_agg(f.seq), array_agg(f.boot), array_agg(f.kind),
               array_agg(f.up_ms),
               array_agg(CAST(floor(extract(epoch FROM f.received_at) * 1000) AS bigint))
        {IN_FRAME_TABLE}
        UNION ALL
        SELECT r.store, r.body, NULL, NULL, NULL, NULL, NULL, NULL FROM recording AS r
        WHERE r.device_id = :device_id AND r.sid = :sid
        """  # noqa: S608 - a constant of this code
    ),
    binary=True,
)
