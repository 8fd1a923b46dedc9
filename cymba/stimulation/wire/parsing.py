"""Safe parsing of JSON and CBOR from untrusted senders, in time proportional to the length.

Every message of a device is read here. Repeated members and CBOR tags are refused. Nothing takes
longer than a few times what `json` takes.
"""

import json
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NoReturn, TypeVar

import cbor2
import msgspec

from cymba.devices.messages import UInt32
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Seq

# All exceptions that reading a payload may raise.
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
    """Read a message of this type. Its first byte tells JSON from CBOR.

    Raises: UNREADABLE: it is no such message.
    """
    if payload[:1] != b"{":
        return msgspec.convert(load_cbor(payload), type_)
    message = msgspec.json.decode(payload, type=type_)
    load_json(payload)  # msgspec keeps the last of two members with the same name
    return message


class FrameNumber(msgspec.Struct, frozen=True):
    """Store and seq of a payload. The rest of it is not checked."""

    store: UInt32 | None = None
    seq: Seq | None = None


def read_number(payload: bytes) -> FrameNumber:
    """Read the number alone, for a rejection with `retry`."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return FrameNumber()
    try:
        if payload[:1] == b"{":
            return msgspec.json.decode(payload, type=FrameNumber)
        return msgspec.convert(load_cbor(payload), FrameNumber)
    except UNREADABLE:
        return FrameNumber()


def load_json(payload: bytes) -> Any:
    """Read any JSON without repeated members and NaN. Several times slower than msgspec."""
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
                raise ValueError(f"member {quoted(name)} is repeated")
            names.add(name)
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_tag(*_: object) -> NoReturn:
    raise ValueError("CBOR tags are not allowed")


# Every tag that cbor2 handles itself. Some are costly (big floats, regular expressions), and some
# make self-referential values.
_TAGS: dict[int, Callable[..., NoReturn]] = dict.fromkeys(
    [*range(6), 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799],
    _refuse_tag,
)


def load_cbor(payload: bytes) -> Any:
    """Read a single CBOR item without tags, repeated keys and deep nesting."""
    reader = BytesIO(payload)
    item = _next_cbor(reader)
    if reader.tell() != len(payload):
        raise ValueError(f"{len(payload) - reader.tell()} bytes after the frame")
    return item


def split_cbor(sequence: bytes, most: int) -> list[bytes]:
    """Split a CBOR sequence (RFC 8742) into the bytes of its items, at most `most`.

    After an item that cannot be read, or is larger than a frame, the boundaries are unknown: it and
    everything after it are returned as one.
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
    """Printable, shortened text that the database can store, whatever it quotes."""
    text = text[: characters + 1].encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= characters else text[: characters - 1] + "…"
