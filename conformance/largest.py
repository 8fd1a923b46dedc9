"""The largest frame that the protocol allows, to try whether a broker carries it."""

import secrets
from uuid import uuid4

from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Event, EventFrame, to_json

NAME = "largest_frame"


def largest_frame() -> bytes:
    """An event of a store that no device has, so a server reads it and answers."""
    store = secrets.randbits(32)
    frame = EventFrame(v=1, store=store, seq=1, boot=0, sid=uuid4(), up=0, event=Event(name=NAME))
    whole = to_json(frame)
    blanks = b" " * (MAX_PAYLOAD_BYTES - len(whole))
    return whole[:-1] + blanks + b"}"


def is_largest_frame(payload: bytes) -> bool:
    """Whether a kit has sent it, this one or another: it is no message of the device."""
    return len(payload) == MAX_PAYLOAD_BYTES and f'"{NAME}"'.encode() in payload[:1_000]
