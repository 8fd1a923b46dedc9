"""Messages to bytes and back, as a device writes and reads them."""

from typing import Literal, TypeVar

import cbor2
import msgspec

from cymba.stimulation.wire.messages import (
    Ack,
    AnyMessage,
    Desired,
    Relocation,
    TimeReply,
    to_cbor,
    to_json,
)

Form = Literal["json", "cbor"]
Heard = TypeVar("Heard", Ack, Desired, Relocation, TimeReply)


def encode(message: AnyMessage, form: Form) -> bytes:
    return to_json(message) if form == "json" else to_cbor(message)


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
