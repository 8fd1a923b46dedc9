"""The largest frame that the protocol allows, to try whether a broker carries it."""

import secrets
from uuid import uuid4

from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Event, EventFrame, to_json


def largest_frame() -> bytes:
    """An event of a store that no device has: whoever else listens sees a frame that is read."""
    store = secrets.randbits(32)
    frame = EventFrame(
        v=1, store=store, seq=1, boot=0, sid=uuid4(), up=0, event=Event(name="largest_frame")
    )
    whole = to_json(frame)
    blanks = b" " * (MAX_PAYLOAD_BYTES - len(whole))
    return whole[:-1] + blanks + b"}"
