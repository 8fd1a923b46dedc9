"""Payloads that are no frame: the reason for the device, and a digest to deduplicate them.

Only what the fast decoder could not read comes here.
"""

from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import msgspec

from cymba.stimulation.wire.messages import MAX_INTEGER, MAX_PAYLOAD_BYTES
from cymba.stimulation.wire.parsing import UNREADABLE, clean

# The canonical form of content for its digest.
_CONTENT = msgspec.msgpack.Encoder(order="sorted")

UnreadableCode = Literal["schema", "too-large", "unsupported-version", "impossible-value"]


class Unreadable(NamedTuple):
    """A payload that cannot be stored as a frame, and why.

    `store` and `seq` are known if the payload could be read as a map; the answer names them.
    `digest` is the same for a resend.
    """

    code: UnreadableCode
    detail: str
    store: int | None
    seq: int | None
    digest: bytes


def too_large(payload: bytes) -> Unreadable:
    """Nothing of an oversized payload is read, not even its number."""
    detail = f"the payload has {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are allowed"
    return Unreadable("too-large", detail, None, None, digest_of(payload))


def not_whole(payload: bytes, error: Exception) -> Unreadable:
    """For what is no whole JSON object or CBOR map. `error` was raised by reading it."""
    if not payload:
        detail = "an empty payload"
    elif payload[:1] == b"{":
        detail = f"not valid JSON: {_reason(error)}"
    elif 0xA0 <= payload[0] <= 0xBF:
        detail = f"not valid CBOR: {_reason(error)}"
    else:
        detail = f"starts with byte 0x{payload[0]:02x}: neither a JSON object nor a CBOR map"
    return Unreadable("schema", clean(detail), None, None, digest_of(payload))


def no_frame(payload: bytes, members: Any, error: Exception) -> Unreadable:
    """For a whole object or map that is no frame. `error` is msgspec's."""
    if not isinstance(members, dict):  # another kind of CBOR item
        return not_whole(payload, error)
    store, seq = _number(members)
    digest = digest_of(payload, members)
    version = members.get("v")
    if type(version) is int and version != 1:
        shown = version if abs(version) <= MAX_INTEGER else "a number of many digits"
        detail = f"v: {shown} is not supported, only 1"
        return Unreadable("unsupported-version", detail, store, seq, digest)
    return Unreadable("schema", clean(_where(error, members)), store, seq, digest)


def _number(members: dict[str, Any]) -> tuple[int | None, int | None]:
    store, seq = members.get("store"), members.get("seq")
    if type(store) is not int or not 0 <= store < 2**32:
        return None, None
    return store, seq if type(seq) is int and 1 <= seq < 2**32 else None


def digest_of(payload: bytes, members: dict[str, Any] | None = None) -> bytes:
    """A digest of the content if it has a canonical form, else of the bytes."""
    content = payload
    if members is not None:
        compared = {name: value for name, value in members.items() if name != "sent"}
        try:
            content = _CONTENT.encode(compared)
        except UNREADABLE:
            content = payload
    return blake2b(content, digest_size=16, person=b"unreadable").digest()


def _where(error: Exception, members: dict[str, Any]) -> str:
    """msgspec's message with the path first, and columns by their names."""
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
