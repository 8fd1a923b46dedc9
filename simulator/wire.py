"""Messages to bytes and back, as a device writes and reads them."""

from hashlib import blake2b
from typing import Literal, TypeVar

import cbor2
import msgspec

from cymba.stimulation.wire.messages import (
    Ack,
    AnyMessage,
    Desired,
    Frame,
    TimeReply,
    to_cbor,
    to_json,
)
from simulator.faults import Spoiling, spoil

Form = Literal["json", "cbor"]
Heard = TypeVar("Heard", Ack, Desired, TimeReply)


def encode(message: AnyMessage, form: Form) -> bytes:
    return to_json(message) if form == "json" else to_cbor(message)


def encode_frame(
    frame: Frame, form: Form, *, sent_ms: int | None, spoiling: Spoiling | None
) -> bytes:
    """The frame as it is published now. A spoiled one always has the same bytes."""
    if spoiling is None:
        return encode(msgspec.structs.replace(frame, sent=sent_ms), form)
    whole = {name: value for name, value in msgspec.to_builtins(frame).items() if value is not None}
    spoiled = spoil(whole, spoiling)
    return msgspec.json.encode(spoiled) if form == "json" else cbor2.dumps(spoiled)


def decode(payload: bytes, type_: type[Heard]) -> Heard | None:
    """The server's message; None for anything else, which a device ignores."""
    try:
        if payload[:1] == b"{":
            return msgspec.json.decode(payload, type=type_)
        return msgspec.convert(cbor2.loads(payload), type_)
    except (
        msgspec.MsgspecError,
        cbor2.CBORError,
        ValueError,
        TypeError,
        AssertionError,  # a rejection that contradicts its own code
        RecursionError,
    ):
        return None


def garbage(number: int) -> bytes:
    """A payload of up to 400 bytes that is no frame at all."""
    digest = blake2b(number.to_bytes(8), digest_size=8).digest()
    return (b"{" if number % 2 else b"\xa0") + digest * (number % 50)
