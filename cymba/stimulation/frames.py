"""A frame between the wire and its row: read and checked, packed, and read back.

Nothing that a device sends makes this raise: what cannot be stored comes back as `Unreadable`,
with one of the codes of the protocol.
"""

import json
import struct
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from io import BytesIO
from itertools import pairwise
from typing import Any, Literal, NamedTuple, NoReturn, Protocol
from uuid import UUID

import cbor2
import msgspec

from cymba.devices.messages import Programme
from cymba.stimulation.channels import CHANNELS
from cymba.stimulation.messages import (
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

KINDS: dict[type[Frame], int] = {StartFrame: 1, SamplesFrame: 2, EventFrame: 3, EndFrame: 4}
"""The number that stands for each kind of frame in the database. Never reuse one."""

UnreadableCode = Literal["schema", "too-large", "unsupported-version", "impossible-value"]


class Unreadable(NamedTuple):
    """A payload that cannot be stored as a frame, and why.

    `store` and `seq` are known where the payload as a whole could be read as one map; a device
    is answered by them. `digest` tells it from others and is the same for a resend.
    """

    code: UnreadableCode
    detail: str
    store: int | None
    seq: int | None
    digest: bytes


class Packed(NamedTuple):
    """What is kept of a frame beside its key, boot, session and times."""

    kind: int
    body: bytes
    digest: bytes  # BLAKE2b-128 of all but `sent`


class FrameRow(Protocol):
    """A row of the inbox, or whatever has its columns."""

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


def decode(payload: bytes) -> Frame | Unreadable:
    """Read and check one payload, JSON or CBOR by its first byte."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return _too_large(payload)
    frame: Frame
    try:
        if payload[:1] == b"{":
            frame = _JSON.decode(payload)
            if _may_repeat_a_member(payload, frame):
                _load_json(payload)
        else:
            frame = msgspec.convert(_load_cbor(payload), _FRAME)
    except _UNREADABLE as error:
        return _explain(payload, error)
    problem = _problem(frame)
    if problem:
        code, detail = problem
        try:
            digest = pack(frame).digest
        except OverflowError:  # of an integer of more than 64 bits
            digest = _digest(payload)
        return Unreadable(code, detail, frame.store, frame.seq, digest)
    return frame


def pack(frame: Frame) -> Packed:
    """What the database keeps of a frame. Its JSON and its CBOR pack to the same bytes."""
    kind = KINDS[type(frame)]
    match frame:
        case SamplesFrame():
            content: object = (frame.dt, frame.n, frame.c)
        case EndFrame():
            content = (frame.reason, frame.first_seq, frame.last_seq)
        case StartFrame():
            fields = msgspec.structs.asdict(frame.programme)
            # Without the absent, so that a field added later changes no digest.
            content = {name: value for name, value in fields.items() if value is not None}
        case EventFrame():
            detail = frame.event.detail
            plain = None if detail is None else {k: _plain(v) for k, v in detail.items()}
            content = (frame.event.name, plain)
    body = _BODY.encode(content)
    utc_ms = -1 if frame.utc is None else frame.utc
    head = _HEAD.pack(kind, frame.store, frame.seq, frame.boot, frame.sid.bytes, frame.up, utc_ms)
    return Packed(kind, body, blake2b(head + body, digest_size=16).digest())


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
            return StartFrame(**identity, programme=_PROGRAMME.decode(row.body))
        case 3:
            name, detail = _EVENT.decode(row.body)
            return EventFrame(**identity, event=Event(name=name, detail=detail))
        case 4:
            reason, first_seq, last_seq = _END.decode(row.body)
            return EndFrame(**identity, reason=reason, first_seq=first_seq, last_seq=last_seq)
        case kind:
            raise ValueError(f"no kind of frame has the number {kind}")


# Of a payload over the limit so much is still parsed for its key; the rest is only kept.
_PARSED_BYTES = 4 * MAX_PAYLOAD_BYTES
_DETAIL_CHARACTERS = 200

_UNREADABLE = (
    msgspec.MsgspecError,
    cbor2.CBORError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
_FRAME: Any = Frame
_JSON: msgspec.json.Decoder[Frame] = msgspec.json.Decoder(_FRAME)
_BODY = msgspec.msgpack.Encoder(order="sorted")
_SAMPLES = msgspec.msgpack.Decoder(tuple[int, int, Columns])
_PROGRAMME = msgspec.msgpack.Decoder(Programme)
_EVENT = msgspec.msgpack.Decoder(tuple[str, dict[str, str | int | float | bool | None] | None])
_END = msgspec.msgpack.Decoder(tuple[str, int, int])
_HEAD = struct.Struct(">BIII16sQq")  # kind, store, seq, boot, sid, up, utc

_BOUNDS = {
    channel.name: (channel.low, channel.high, channel.layout == "per_beat", channel.cumulative)
    for channel in CHANNELS.values()
}
_UNKNOWN = (-MAX_INTEGER, MAX_INTEGER, False, False)

# The members of a samples frame that are always there.
_SAMPLES_MEMBERS = 10


def _problem(frame: Frame) -> tuple[UnreadableCode, str] | None:
    """What the types of a frame cannot say of it."""
    if frame.sent is not None and frame.sent < frame.up:
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
                return "schema", f"c: {_quoted(name)} is no name of a channel"
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
        return "schema", f"c.{name}[{at}]: beyond the integers that JSON holds exactly"
    unit = CHANNELS[name].wire_unit
    told = value if abs(value) <= MAX_INTEGER else "a number of many digits"
    return "impossible-value", f"c.{name}[{at}]: {told} is outside {low}…{high} {unit}"


def _falling(name: str, values: list[int]) -> tuple[UnreadableCode, str]:
    before, after = next((a, b) for a, b in pairwise(values) if b < a)
    return "impossible-value", f"c.{name}: falls from {before} to {after}"


def _plain(value: object) -> object:
    """A whole number as an integer, whichever way its sender wrote it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _may_repeat_a_member(payload: bytes, frame: Frame) -> bool:
    """Whether JSON may name a member twice, of which the decoder keeps the last.

    No string of a samples frame holds a colon, so there are as many colons as members.
    """
    if not isinstance(frame, SamplesFrame) or "sent" in frame.c or "utc" in frame.c:
        return True
    members = _SAMPLES_MEMBERS + len(frame.c) + (b'"sent"' in payload) + (b'"utc"' in payload)
    return payload.count(b":") != members


def _load_json(payload: bytes) -> Any:
    """Any JSON, but without repeated members and without NaN. Several times slower than msgspec."""
    return json.loads(
        payload.decode(), object_pairs_hook=_distinct, parse_constant=_refuse_constant
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_quoted(twice)} stands there twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("a frame has no tags")


# Every tag that cbor2 reads by itself: some are costly to read (big floats, regular expressions),
# and some make values that refer to themselves.
_TAGS: dict[int, Callable[..., NoReturn]] = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000),
    _refuse_tag,
) | {55799: _refuse_tag}


def _load_cbor(payload: bytes) -> Any:
    """One CBOR item and nothing after it: no tags, no repeated keys, shallow."""
    reader = BytesIO(payload)
    item = cbor2.CBORDecoder(
        reader,
        semantic_decoders=_TAGS,
        tag_hook=_refuse_tag,
        max_depth=8,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    ).decode()
    if reader.tell() != len(payload):
        raise ValueError(f"{len(payload) - reader.tell()} bytes after the frame")
    return item


def _load(payload: bytes) -> Any:
    return _load_json(payload) if payload[:1] == b"{" else _load_cbor(payload)


def _too_large(payload: bytes) -> Unreadable:
    detail = f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken"
    store = seq = None
    if len(payload) <= _PARSED_BYTES:
        with suppress(*_UNREADABLE):
            store, seq = _key(_load(payload))
    return Unreadable("too-large", detail, store, seq, _digest(payload))


def _explain(payload: bytes, error: Exception) -> Unreadable:
    """Why a payload is no frame, by a slow second look."""
    if not payload:
        return Unreadable("schema", "an empty payload", None, None, _digest(payload))
    if payload[:1] != b"{" and not 0xA0 <= payload[0] <= 0xBF:
        detail = f"starts with byte 0x{payload[0]:02x}: neither a JSON object nor a CBOR map"
        return Unreadable("schema", detail, None, None, _digest(payload))
    try:
        members = _load(payload)
    except _UNREADABLE as cause:
        form = "JSON" if payload[:1] == b"{" else "CBOR"
        detail = _clean(f"no whole {form}: {_reason(cause)}")
        return Unreadable("schema", detail, None, None, _digest(payload))
    store, seq = _key(members)
    digest = _digest(payload, members)
    version = members.get("v")
    if type(version) is int and version != 1:
        told = version if abs(version) <= MAX_INTEGER else "a number of many digits"
        detail = f"v: {told}, only 1 is spoken here"
        return Unreadable("unsupported-version", detail, store, seq, digest)
    return Unreadable("schema", _clean(_where(error, members)), store, seq, digest)


def _key(members: Any) -> tuple[int | None, int | None]:
    store, seq = members.get("store"), members.get("seq")
    if type(store) is not int or not 0 <= store < 2**32:
        return None, None
    return store, seq if type(seq) is int and 1 <= seq < 2**32 else None


def _digest(payload: bytes, members: dict[str, Any] | None = None) -> bytes:
    """Of the content where it can be written down in one way only, else of the very bytes."""
    content = payload
    if members is not None:
        told = {name: value for name, value in members.items() if name != "sent"}
        try:
            content = _BODY.encode(told)
        except _UNREADABLE:
            content = payload
    return blake2b(content, digest_size=16, person=b"unreadable").digest()


def _where(error: Exception, members: dict[str, Any]) -> str:
    """msgspec's message in the protocol's words: the path first, and the column by its name."""
    message, _, path = str(error).replace("`", "").partition(" - at ")
    path = path.removeprefix("$").removeprefix(".")
    columns = members.get("c")
    if path.startswith("c[...]") and isinstance(columns, dict):
        for name, column in columns.items():
            try:
                msgspec.convert(column, _COLUMN)
            except _UNREADABLE:
                path = f"c.{name}" + path.removeprefix("c[...]")
                break
    if path:
        message = message[:1].lower() + message[1:]
    return f"{path}: {message}" if path else message


_COLUMN: Any = list[int | None]


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return "nested too deep" if isinstance(cause, RecursionError) else str(cause)


def _quoted(value: str) -> str:
    return _clean(ascii(value), 40)


def _clean(text: str, characters: int = _DETAIL_CHARACTERS) -> str:
    """Text that any reader and the database can hold, whatever it quotes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= characters else text[: characters - 1] + "…"
