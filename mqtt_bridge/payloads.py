"""Encoding and decoding of all messages but frames, which the core decodes.

The first byte tells JSON from CBOR. A device is answered in the encoding that it used.
"""

from enum import Enum
from typing import NamedTuple, TypeVar

import msgspec

from cymba.stimulation.wire.messages import (
    Ack,
    Presence,
    ReportedState,
    TimeReply,
    TimeRequest,
    to_cbor,
)
from cymba.stimulation.wire.parsing import UNREADABLE, read_message

# Far more than any of these messages needs. Frames have their own bound.
MAX_BYTES = 4096

Message = TypeVar("Message", bound=Presence | TimeRequest | ReportedState)


class Encoding(Enum):
    JSON = "json"
    CBOR = "cbor"


class Malformed(NamedTuple):
    """Why a payload is no such message. It quotes nothing of the payload."""

    detail: str


def encoding_of(payload: bytes) -> Encoding:
    """By the first byte, which is that of a CBOR map; what is neither is answered in JSON."""
    return _CBOR if b"\xa0" <= payload[:1] <= b"\xbf" else _JSON


def decode(payload: bytes, type_: type[Message]) -> Message | Malformed:
    if not payload:
        return Malformed("empty")
    if len(payload) > MAX_BYTES:
        return Malformed(f"{len(payload)} bytes, at most {MAX_BYTES}")
    try:
        return read_message(payload, type_)
    except UNREADABLE as error:
        return Malformed(str(error)[:200])


def encode(message: Ack | TimeReply, encoding: Encoding) -> bytes:
    # Neither has a member that may be null, so what `to_json` leaves out they do not have.
    return _ENCODER.encode(message) if encoding is _JSON else to_cbor(message)


_JSON, _CBOR = Encoding
_ENCODER = msgspec.json.Encoder()
