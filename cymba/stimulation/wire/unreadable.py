"""Payloads that are no frame: read as far as they go, and explained.

This is the slow way: only what the fast one could not read comes here.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from io import BytesIO
from typing import Any, Literal, NamedTuple, NoReturn

import cbor2
import msgspec

from cymba.stimulation.wire.messages import MAX_INTEGER, MAX_PAYLOAD_BYTES

# Of a payload over the limit so much is still parsed for its key; the rest is only kept.
_PARSED_BYTES = 4 * MAX_PAYLOAD_BYTES
_DETAIL_CHARACTERS = 200

# All that reading a payload may raise.
UNREADABLE = (
    msgspec.MsgspecError,
    cbor2.CBORError,
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
)
# The one way in which content is written down for its digest.
_CONTENT = msgspec.msgpack.Encoder(order="sorted")

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


def load_json(payload: bytes) -> Any:
    """Any JSON, but without repeated members and without NaN. Several times slower than msgspec."""
    return json.loads(
        payload.decode(), object_pairs_hook=_distinct, parse_constant=_refuse_constant
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(twice)} stands there twice")
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


def split_cbor(sequence: bytes) -> list[bytes]:
    """The items of a CBOR sequence (RFC 8742), as their bytes.

    From an item on that cannot be read, nobody can tell where the next one begins: it and all
    after it are given as one.
    """
    items: list[bytes] = []
    reader = BytesIO(sequence)
    while (start := reader.tell()) < len(sequence):
        try:
            _next_cbor(reader)
        except UNREADABLE:
            return [*items, sequence[start:]]
        items.append(sequence[start : reader.tell()])
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


def _load(payload: bytes) -> Any:
    return load_json(payload) if payload[:1] == b"{" else load_cbor(payload)


def too_large(payload: bytes) -> Unreadable:
    detail = f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are taken"
    store = seq = None
    if len(payload) <= _PARSED_BYTES:
        with suppress(*UNREADABLE):
            store, seq = _key(_load(payload))
    return Unreadable("too-large", detail, store, seq, digest_of(payload))


def explain(payload: bytes, error: Exception) -> Unreadable:
    """Why a payload is no frame, by a slow second look."""
    if not payload:
        return Unreadable("schema", "an empty payload", None, None, digest_of(payload))
    if payload[:1] != b"{" and not 0xA0 <= payload[0] <= 0xBF:
        detail = f"starts with byte 0x{payload[0]:02x}: neither a JSON object nor a CBOR map"
        return Unreadable("schema", detail, None, None, digest_of(payload))
    try:
        members = _load(payload)
    except UNREADABLE as cause:
        form = "JSON" if payload[:1] == b"{" else "CBOR"
        detail = _clean(f"no whole {form}: {_reason(cause)}")
        return Unreadable("schema", detail, None, None, digest_of(payload))
    store, seq = _key(members)
    digest = digest_of(payload, members)
    version = members.get("v")
    if type(version) is int and version != 1:
        told = version if abs(version) <= MAX_INTEGER else "a number of many digits"
        detail = f"v: {told}, only 1 is spoken here"
        return Unreadable("unsupported-version", detail, store, seq, digest)
    return Unreadable("schema", _clean(_where(error, members)), store, seq, digest)


def _key(members: Any) -> tuple[int | None, int | None]:
    if not isinstance(members, dict):
        return None, None
    store, seq = members.get("store"), members.get("seq")
    if type(store) is not int or not 0 <= store < 2**32:
        return None, None
    return store, seq if type(seq) is int and 1 <= seq < 2**32 else None


def digest_of(payload: bytes, members: dict[str, Any] | None = None) -> bytes:
    """Of the content where it can be written down in one way only, else of the very bytes."""
    content = payload
    if members is not None:
        told = {name: value for name, value in members.items() if name != "sent"}
        try:
            content = _CONTENT.encode(told)
        except UNREADABLE:
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
            except UNREADABLE:
                path = f"c.{name}" + path.removeprefix("c[...]")
                break
    if path:
        message = message[:1].lower() + message[1:]
    return f"{path}: {message}" if path else message


_COLUMN: Any = list[int | None]


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return "nested too deep" if isinstance(cause, RecursionError) else str(cause)


def quoted(value: str) -> str:
    return _clean(ascii(value), 40)


def _clean(text: str, characters: int = _DETAIL_CHARACTERS) -> str:
    """Text that any reader and the database can hold, whatever it quotes."""
    text = text.encode("utf-8", "backslashreplace").decode()
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return text if len(text) <= characters else text[: characters - 1] + "…"
