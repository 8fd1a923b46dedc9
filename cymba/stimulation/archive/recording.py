"""The codec of a recording: a session's frames of one store as compressed columns, and back.

A body is msgpack around columns of integers (`integer_columns`). Nulls are a bit mask beside the
values. Frames without samples are few, and stay as they were packed. Every frame comes back
exactly: `encode_recording` decodes what it wrote and compares before it returns.
"""

import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from cymba.devices.clocks import from_ms
from cymba.stimulation.archive.integer_columns import (
    NotIntegers,
    PackedIntegers,
    pack_integers,
    unpack_integers,
)
from cymba.stimulation.archive.layouts import Layouts
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.wire.frames import SHORT_DIGEST_BYTES, PlainRow, pack, unpack
from cymba.stimulation.wire.messages import Column, Frame, SamplesFrame

VERSION = 1
SAMPLES_KIND = 0  # in `kinds`; the others are the numbers of frames.KINDS

Reads = Callable[[str], bool]
"""Whether the columns of a channel are wanted."""

_EPOCH = from_ms(0)
_MILLISECOND = timedelta(milliseconds=1)


class NotARecording(Exception):
    """The bytes are of another version, or were not written by `encode_recording`."""


class _Values(msgspec.Struct, array_like=True, frozen=True):
    """Integers or nulls of all frames, one after the other."""

    known: PackedIntegers
    count: int  # nulls included
    mask: bytes | None  # a bit is set where there is a value; None if there are no nulls


class _ChannelColumn(msgspec.Struct, array_like=True, frozen=True):
    values: _Values
    lengths: PackedIntegers | None  # of each frame's column; None where it is the frame's `n`


class _Body(msgspec.Struct, array_like=True, frozen=True):
    version: int
    count: int  # of frames
    seq: PackedIntegers
    boot: PackedIntegers
    up: PackedIntegers
    received_ms: PackedIntegers  # since 1970
    utc: _Values
    kinds: PackedIntegers  # SAMPLES_KIND, or the kind of the next of `others`
    others: list[bytes]
    dt: PackedIntegers
    n: PackedIntegers
    layouts: list[list[str]]  # the sets of channels that occur …
    layout: PackedIntegers  # … and which of them each samples frame has
    channels: dict[str, _ChannelColumn]


class EncodedRecording(NamedTuple):
    """A row of `Recording`: a session's frames of one store."""

    body: bytes
    digests: bytes
    seqs: list[int]
    frame_count: int
    sample_count: int


def encode_recording(reads: Sequence[ReadFrame]) -> EncodedRecording:
    """Compress frames of one session and store, each seq once.

    Raises:
        NotARecording: they would not come back unchanged. Do not delete them.
    """
    reads = sorted(reads, key=lambda read: read.frame.seq)
    if len({(read.frame.store, read.frame.sid) for read in reads}) != 1:
        raise NotARecording("the frames are of more than one session or store, or there are none")
    frames = [read.frame for read in reads]
    body = msgspec.msgpack.encode(_compress(frames, [read.received_at for read in reads]))
    packed = [pack(frame) for frame in frames]
    back = decode_recording(body, frames[0].store, frames[0].sid)
    if [pack(read.frame) for read in back] != packed or [read.received_at for read in back] != [
        read.received_at for read in reads
    ]:
        raise NotARecording("the frames do not come back unchanged, so they stay where they are")
    samples = sum(frame.n for frame in frames if isinstance(frame, SamplesFrame))
    digests = b"".join(one.digest[:SHORT_DIGEST_BYTES] for one in packed)
    return EncodedRecording(body, digests, [frame.seq for frame in frames], len(frames), samples)


def decode_recording(
    body: bytes, store: int, sid: UUID, *, reads: Reads | None = None
) -> list[ReadFrame]:
    """The frames as they were encoded, in the order of `seq`.

    With `reads`, only the columns of the channels for which it is true, as arrays of floats in
    which NaN stands for null.
    """
    with _only_recordings():
        return _decode(body, store, sid, reads)


class RecordedColumns:
    """The frames of a recording as columns, in the order of `seq`; `samples` are the frames to
    which `dt` and `n` belong.

    Raises:
        NotARecording: also where readings are asked for.
    """

    def __init__(self, body: bytes) -> None:
        with _only_recordings():
            self._packed = packed = _opened(body)
            self.seq, self.boot, self.up_ms, self.received_ms, kinds = (
                unpack_integers(column, packed.count)
                for column in (
                    packed.seq,
                    packed.boot,
                    packed.up,
                    packed.received_ms,
                    packed.kinds,
                )
            )
            self.samples = np.flatnonzero(kinds == SAMPLES_KIND)
            self.dt, self.n, layout = (
                unpack_integers(column, self.samples.size)
                for column in (packed.dt, packed.n, packed.layout)
            )
            self._layouts = Layouts(packed.layouts, layout)

    @property
    def channels(self) -> Collection[str]:
        return self._packed.channels.keys()

    def readings(
        self, channel: str
    ) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
        """Which of `samples` have the channel, how many readings each, and all of these; NaN
        stands for null."""
        with _only_recordings():
            packed = self._packed.channels[channel]
            frames = self._layouts.frames(channel)
            lengths = self.n[frames]
            if packed.lengths is not None:
                lengths = unpack_integers(packed.lengths, frames.size)
            return frames, lengths, _floats(packed.values)


@contextmanager
def _only_recordings() -> Iterator[None]:
    try:
        yield
    except (msgspec.MsgspecError, NotIntegers, zlib.error) as error:
        raise NotARecording(str(error)) from error


def _opened(body: bytes) -> _Body:
    packed = msgspec.msgpack.decode(body, type=_Body)
    if packed.version != VERSION:
        raise NotARecording(f"version {packed.version}, only {VERSION} is known")
    return packed


def _decode(body: bytes, store: int, sid: UUID, reads: Reads | None) -> list[ReadFrame]:
    packed = _opened(body)
    count = packed.count
    kinds = unpack_integers(packed.kinds, count).tolist()
    samples = iter(_samples(packed, kinds.count(SAMPLES_KIND), reads))
    others = iter(packed.others)
    heads = zip(
        unpack_integers(packed.seq, count).tolist(),
        unpack_integers(packed.boot, count).tolist(),
        unpack_integers(packed.up, count).tolist(),
        _nullable(packed.utc),
        unpack_integers(packed.received_ms, count).tolist(),
        kinds,
        strict=True,
    )
    decoded = []
    for seq, boot, up, utc, received_ms, kind in heads:
        frame: Frame
        if kind == SAMPLES_KIND:
            dt, n, c = next(samples)
            frame = SamplesFrame(
                v=1, store=store, seq=seq, boot=boot, sid=sid, up=up, utc=utc, dt=dt, n=n, c=c
            )
        else:
            frame = unpack(PlainRow(store, sid, seq, boot, kind, up, utc, next(others)))
        decoded.append(ReadFrame(frame, _EPOCH + received_ms * _MILLISECOND))
    return decoded


def _compress(frames: Sequence[Frame], received: Sequence[datetime]) -> _Body:
    samples = [frame for frame in frames if isinstance(frame, SamplesFrame)]
    having: dict[str, list[SamplesFrame]] = {}
    for one in samples:
        for name in one.c:
            having.setdefault(name, []).append(one)
    others = [pack(frame) for frame in frames if not isinstance(frame, SamplesFrame)]
    kinds = iter([packed.kind for packed in others])
    layouts: dict[tuple[str, ...], int] = {}
    layout = [layouts.setdefault(tuple(sorted(f.c)), len(layouts)) for f in samples]
    return _Body(
        version=VERSION,
        count=len(frames),
        seq=pack_integers([frame.seq for frame in frames]),
        boot=pack_integers([frame.boot for frame in frames]),
        up=pack_integers([frame.up for frame in frames]),
        received_ms=pack_integers([(at - _EPOCH) // _MILLISECOND for at in received]),
        utc=_packed_nullable([frame.utc for frame in frames]),
        kinds=pack_integers(
            [SAMPLES_KIND if isinstance(frame, SamplesFrame) else next(kinds) for frame in frames]
        ),
        others=[packed.body for packed in others],
        dt=pack_integers([frame.dt for frame in samples]),
        n=pack_integers([frame.n for frame in samples]),
        layouts=[list(names) for names in layouts],
        layout=pack_integers(layout),
        channels={
            name: _packed_channel(name, of_channel) for name, of_channel in sorted(having.items())
        },
    )


def _packed_channel(name: str, having: Sequence[SamplesFrame]) -> _ChannelColumn:
    values: Column = []
    for frame in having:
        values += frame.c[name]
    regular = all(len(frame.c[name]) == frame.n for frame in having)
    lengths = None if regular else pack_integers([len(frame.c[name]) for frame in having])
    return _ChannelColumn(_packed_nullable(values), lengths)


def _samples(
    packed: _Body, count: int, reads: Reads | None
) -> list[tuple[int, int, dict[str, Any]]]:
    """`dt`, `n` and `c` of each samples frame."""
    dts, ns = unpack_integers(packed.dt, count).tolist(), unpack_integers(packed.n, count)
    columns: list[dict[str, Any]] = [{} for _ in range(count)]
    wanted = {name for name in packed.channels if reads is None or reads(name)}
    having: dict[str, list[int]] = {name: [] for name in wanted}  # the frames that have it
    layouts = [[name for name in names if name in wanted] for names in packed.layouts]
    for frame, layout in enumerate(unpack_integers(packed.layout, count).tolist()):
        for name in layouts[layout]:
            having[name].append(frame)
    for name, frames in having.items():
        channel = packed.channels[name]
        lengths = ns[frames]
        if channel.lengths is not None:
            lengths = unpack_integers(channel.lengths, len(frames))
        values = _nullable(channel.values) if reads is None else _floats(channel.values)
        borders = [0, *np.cumsum(lengths).tolist()]
        for frame, (begin, end) in zip(frames, pairwise(borders), strict=True):
            columns[frame][name] = values[begin:end]
    return list(zip(dts, ns.tolist(), columns, strict=True))


def _packed_nullable(values: Sequence[int | None]) -> _Values:
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return _Values(pack_integers(known), len(values), None)
    mask = np.packbits(np.array([value is not None for value in values], dtype=np.bool_))
    return _Values(pack_integers(known), len(values), zlib.compress(mask.tobytes(), 9))


def _floats(packed: _Values) -> NDArray[np.float64]:
    if packed.mask is None:
        return unpack_integers(packed.known, packed.count).astype(np.float64)
    mask = _mask(packed.mask, packed.count)
    column = np.full(packed.count, np.nan)
    column[mask] = unpack_integers(packed.known, int(mask.sum()))
    return column


def _mask(compressed: bytes, count: int) -> NDArray[np.bool_]:
    bits = np.frombuffer(zlib.decompress(compressed), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(np.bool_)


def _nullable(packed: _Values) -> Column:
    if packed.mask is None:
        values: Column = unpack_integers(packed.known, packed.count).tolist()
        return values
    mask = _mask(packed.mask, packed.count)
    column = np.full(packed.count, None, dtype=np.object_)
    column[mask] = unpack_integers(packed.known, int(mask.sum()))
    nullable: Column = column.tolist()
    return nullable
