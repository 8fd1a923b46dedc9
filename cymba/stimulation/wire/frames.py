"""Frames between the wire and the database: decoding and checking, packing and unpacking.

Nothing that a device sends raises here. What cannot be stored is returned as `Unreadable`, with one
of the protocol's codes.
"""

import struct
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from cymba.devices.counter_laps import HALF_A_LAP_MS
from cymba.devices.messages import Programme
from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.messages import (
    MAX_BEATS_PER_SAMPLE,
    MAX_INTEGER,
    MAX_PAYLOAD_BYTES,
    Columns,
    EndFrame,
    Event,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
    is_channel_name,
)
from cymba.stimulation.wire.parsing import UNREADABLE, load_cbor, load_json, quoted
from cymba.stimulation.wire.unreadable import (
    Unreadable,
    UnreadableCode,
    digest_of,
    no_frame,
    not_whole,
    too_large,
)

__all__ = ["KINDS", "FrameRow", "Packed", "PlainRow", "Unreadable", "decode", "pack", "unpack"]

KINDS: dict[type[Frame], int] = {StartFrame: 1, SamplesFrame: 2, EventFrame: 3, EndFrame: 4}
"""The number of each kind of frame in the database. Never reuse one."""

DIGEST_BYTES = 16
SHORT_DIGEST_BYTES = 8  # of each digest in a recording: enough to recognise a duplicate


ROW = [
    ("kind", "B"), ("store", "I"), ("seq", "I"), ("boot", "I"), ("sid", "16s"), ("up_ms", "Q"),
    ("utc_ms", "q"), ("digest", f"{DIGEST_BYTES}s"),
]  # fmt: skip
"""The columns of a frame's row that all have one size, as `struct` writes them, big-endian. The
digest is that of the columns before it and of the body: so their layout must never change."""
NO_UTC = -1


class Packed(NamedTuple):
    """The digest and body of a frame, stored beside its key, boot, session and times."""

    kind: int
    body: bytes
    digest: bytes  # BLAKE2b-128 of all but `sent`


class FrameRow(Protocol):
    """A row of the frame table, or anything with its columns."""

    @property
    def store(self) -> int: ...
    @property
    def seq(self) -> int: ...
    @property
    def boot(self) -> int: ...
    @property
    def sid(self) -> UUID: ...
    @property
    def kind(self) -> int: ...
    @property
    def up_ms(self) -> int: ...
    @property
    def utc_ms(self) -> int | None: ...
    @property
    def body(self) -> bytes: ...


class PlainRow(NamedTuple):
    """A `FrameRow` of which a part is known from elsewhere."""

    store: int
    sid: UUID
    seq: int
    boot: int
    kind: int
    up_ms: int
    utc_ms: int | None
    body: bytes


def decode(payload: bytes) -> Frame | Unreadable:
    """Decode and check one payload. Its first byte tells JSON from CBOR."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return too_large(payload)
    frame: Frame
    try:
        if payload[:1] == b"{":
            try:
                frame = _JSON.decode(payload)
            except UNREADABLE as error:
                return no_frame(payload, load_json(payload), error)
            if _may_repeat_a_member(payload, frame):
                load_json(payload)
        else:
            members = load_cbor(payload)
            try:
                frame = msgspec.convert(members, _FRAME)
            except UNREADABLE as error:
                return no_frame(payload, members, error)
    except UNREADABLE as error:
        return not_whole(payload, error)
    problem = _problem(frame)
    if problem:
        code, detail = problem
        try:
            digest = pack(frame).digest
        except OverflowError:  # an integer of more than 64 bits
            digest = digest_of(payload)
        return Unreadable(code, detail, frame.store, frame.seq, digest)
    return frame


def pack(frame: Frame) -> Packed:
    """Pack a frame for the database. Its JSON and its CBOR give the same bytes."""
    row, body = pack_row(frame)
    return Packed(row[0], body, row[-DIGEST_BYTES:])


def pack_row(frame: Frame) -> tuple[bytes, bytes]:
    """The row of a frame in the database, by `row_of`, and its body."""
    match frame:
        case SamplesFrame():
            content: object = (frame.dt, frame.n, frame.c)
        case EndFrame():
            content = (frame.reason, frame.first_seq, frame.last_seq)
        case StartFrame():
            fields = msgspec.structs.asdict(frame.programme)
            # Without absent members, so that a field added later changes no digest.
            content = {name: value for name, value in fields.items() if value is not None}
            if frame.counters is not None:
                content["counters"] = frame.counters
        case EventFrame():
            detail = frame.event.detail
            plain = None if detail is None else {k: _plain(v) for k, v in detail.items()}
            content = (frame.event.name, plain)
    body = _BODY.encode(content)
    return row_of(KINDS[type(frame)], frame, body), body


def row_of(kind: int, frame: Frame, body: bytes) -> bytes:
    """What a row holds beside its body, laid out as `ROW` says."""
    utc_ms = NO_UTC if frame.utc is None else frame.utc
    sid = frame.sid.int.to_bytes(16)
    head = _HEAD.pack(kind, frame.store, frame.seq, frame.boot, sid, frame.up, utc_ms)
    digest = _DIGEST.copy()  # which takes less than to make one
    digest.update(head + body)
    return head + digest.digest()


def unpack(row: FrameRow) -> Frame:
    """The frame that was packed, without `sent`."""
    identity: dict[str, Any] = {
        "v": 1,
        "store": row.store,
        "seq": row.seq,
        "boot": row.boot,
        "sid": row.sid,
        "up": row.up_ms,
        "utc": row.utc_ms,
    }
    match row.kind:
        case 2:
            dt, n, columns = _SAMPLES.decode(row.body)
            return SamplesFrame(**identity, dt=dt, n=n, c=columns)
        case 1:
            fields = _START.decode(row.body)
            counters = fields.pop("counters", None)
            programme = msgspec.convert(fields, Programme)
            return StartFrame(**identity, programme=programme, counters=counters)
        case 3:
            name, detail = _EVENT.decode(row.body)
            return EventFrame(**identity, event=Event(name=name, detail=detail))
        case 4:
            reason, first_seq, last_seq = _END.decode(row.body)
            return EndFrame(**identity, reason=reason, first_seq=first_seq, last_seq=last_seq)
        case kind:
            raise ValueError(f"no kind of frame has the number {kind}")


_FRAME: Any = Frame
_JSON: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(_FRAME)
_BODY = msgspec.msgpack.Encoder(order="sorted")
_SAMPLES = msgspec.msgpack.Decoder(tuple[int, int, Columns])
_START = msgspec.msgpack.Decoder(dict[str, Any])
_EVENT = msgspec.msgpack.Decoder(tuple[str, dict[str, str | int | float | bool | None] | None])
_END = msgspec.msgpack.Decoder(tuple[str, int, int])
_DIGEST = blake2b(digest_size=DIGEST_BYTES)
_HEAD = struct.Struct(">" + "".join(code for _, code in ROW[:-1]))

_BOUNDS = {
    channel.name: (channel.low, channel.high, channel.layout == "per_beat", channel.cumulative)
    for channel in CHANNELS.values()
}
_UNKNOWN = (-MAX_INTEGER, MAX_INTEGER, False, False)

SAMPLES_MEMBERS = 10
"""The members of a samples frame that are always there."""


def _problem(frame: Frame) -> tuple[UnreadableCode, str] | None:
    """Checks that go beyond the types of a frame."""
    if frame.sent is not None and frame.sent < frame.up < frame.sent + HALF_A_LAP_MS:
        return "impossible-value", f"sent: {frame.sent} is before up, {frame.up}"
    if isinstance(frame, SamplesFrame):
        return _columns_problem(frame)
    if isinstance(frame, EndFrame) and frame.first_seq > frame.last_seq:
        detail = f"first_seq: {frame.first_seq} is after last_seq, {frame.last_seq}"
        return "impossible-value", detail
    return None


def _columns_problem(frame: SamplesFrame) -> tuple[UnreadableCode, str] | None:
    n = frame.n
    for name, column in frame.c.items():
        bounds = _BOUNDS.get(name)
        if bounds is None:
            if not is_channel_name(name):
                return "schema", f"c: {quoted(name)} is not a channel name"
            bounds = _UNKNOWN
        low, high, per_beat, cumulative = bounds
        if per_beat:
            if len(column) > MAX_BEATS_PER_SAMPLE * n:
                return "schema", f"c.{name}: {len(column)} beats in {n} samples"
            if not column:
                continue
        elif len(column) != n:
            return "schema", f"c.{name}: {len(column)} values, n is {n}"
        values: list[Any] = column
        try:
            is_plausible = low <= min(values) and max(values) <= high
        except TypeError:  # `null` among them
            values = [value for value in column if value is not None]
            is_plausible = all(low <= value <= high for value in values)
        if not is_plausible:
            return _out_of_range(name, column, low, high)
        if cumulative and values != sorted(values):
            return _falling(name, values)
    return None


def _out_of_range(
    name: str, column: list[int | None], low: int, high: int
) -> tuple[UnreadableCode, str]:
    at, value = next(
        (at, value)
        for at, value in enumerate(column)
        if value is not None and not low <= value <= high
    )
    if name not in CHANNELS:
        return "schema", f"c.{name}[{at}]: beyond ±2^53, the integers that JSON holds exactly"
    unit = CHANNELS[name].unit
    shown = value if abs(value) <= MAX_INTEGER else "a number of many digits"
    return "impossible-value", f"c.{name}[{at}]: {shown} is outside {low}…{high} {unit}"


def _falling(name: str, values: list[int]) -> tuple[UnreadableCode, str]:
    before, after = next((a, b) for a, b in pairwise(values) if b < a)
    return "impossible-value", f"c.{name}: falls from {before} to {after}"


def _plain(value: object) -> object:
    """A whole number as an integer, also if it was sent as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _may_repeat_a_member(payload: bytes, frame: Frame) -> bool:
    """Whether the JSON may repeat a member; the decoder would keep the last.

    No string of a samples frame holds a colon, so there must be as many colons as members. `null`
    for `sent` or `utc` gives a false alarm, which costs a little time.
    """
    if not isinstance(frame, SamplesFrame):
        return True
    members = payload.count(b":") - len(frame.c) - SAMPLES_MEMBERS
    if members == (frame.sent is not None) + (frame.utc is not None):
        return False
    if "sent" in frame.c or "utc" in frame.c:
        return True
    return members != (b'"sent"' in payload) + (b'"utc"' in payload)
