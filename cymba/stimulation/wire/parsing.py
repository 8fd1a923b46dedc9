"""Bytes to JSON or CBOR, whoever sent them: work in proportion to their length, and no surprises.

Every message of a device is read by this, whatever its topic. No member stands twice in an
object, CBOR has no tags, and nothing here takes longer than a few times what `json` takes.
"""

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NoReturn, TypeVar

import cbor2
import msgspec

from cymba.devices.messages import UInt32
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Seq

# All that reading a payload may raise.
UNREADABLE = (
    msgspec.MsgspecError,
    cbor2.CBORError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)

Message = TypeVar("Message")


def read_message(payload: bytes, type_: type[Message]) -> Message:
    """A whole message of this type, JSON or CBOR by its first byte.

    Raises:
        UNREADABLE: it is none.
    """
    if payload[:1] != b"{":
        return msgspec.convert(load_cbor(payload), type_)
    message = msgspec.json.decode(payload, type=type_)
    load_json(payload)  # msgspec takes the last of two members of one name
    return message


class FrameNumber(msgspec.Struct, frozen=True):
    """Of which frame a payload says it is. The rest of it is not looked at."""

    store: UInt32 | None = None
    seq: Seq | None = None


def read_number(payload: bytes) -> FrameNumber:
    """For a refusal, after which the device keeps the frame: so it need not be a good one."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return FrameNumber()
    try:
        if payload[:1] == b"{":
            return msgspec.json.decode(payload, type=FrameNumber)
        return msgspec.convert(load_cbor(payload), FrameNumber)
    except UNREADABLE:
        return FrameNumber()


def load_json(payload: bytes) -> Any:
    """Any JSON, but without repeated members and without NaN. Several times slower than msgspec."""
    return json.loads(payload.decode(), object_pairs_hook=distinct, parse_constant=_refuse_constant)


def distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The members of one object.

    Raises:
        ValueError: two have the same name.
    """
    members = dict(pairs)
    if len(members) != len(pairs):
        names: set[str] = set()
        for name, _ in pairs:
            if name in names:
                raise ValueError(f"{quoted(name)} stands there twice")
            names.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("a frame has no tags")


# Every tag that cbor2 reads by itself: some are costly to read (big floats, regular expressions),
# and some make values that refer to themselves.
_TAGS: dict[int, Callable[..., NoReturn]] = dict.fromkeys(
    [*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799],
    _refuse_tag,
)


def load_cbor(payload: bytes) -> Any:
    """One CBOR item and nothing after it: no tags, no repeated keys, shallow."""
    reader = BytesIO(payload)
    item = _next_cbor(reader)
    if reader.tell() != len(payload):
        raise ValueError(f"{len(payload) - reader.tell()} bytes after the frame")
    return item


def split_cbor(sequence: bytes, most: int) -> list[bytes]:
    """The items of a CBOR sequence (RFC 8742), as their bytes; no more than `most`.

    From an item on that cannot be read, or is longer than a frame may be, nobody can tell where
    the next one begins: it and all after it are given as one.
    """
    items: list[bytes] = []
    start = 0
    while start < len(sequence) and len(items) < most:
        reader = BytesIO(sequence[start : start + MAX_PAYLOAD_BYTES])
        try:
            _next_cbor(reader)
        except UNREADABLE:
            return [*items, sequence[start:]]
        end = start + reader.tell()
        items.append(sequence[start:end])
        start = end
    return items


def _next_cbor(reader: BytesIO) -> Any:
    return cbor2.CBORDecoder(
        reader,
        semantic_decoders=_TAGS,
        tag_hook=_refuse_tag,
        max_depth=8,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    ).decode()


def quoted(value: str) -> str:
    return clean(ascii(value[:40]), 40)


def clean(text: str, characters: int = 200) -> str:
    """Text that any reader and the database can hold, whatever it quotes."""
    text = text[: characters + 1].encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= characters else text[: characters - 1] + "…"
