"""The largest frame that the protocol allows, to try whether a broker carries it."""

import secrets
from typing import NamedTuple
from uuid import uuid4

from cymba.stimulation.wire.messages import (
    MAX_PAYLOAD_BYTES,
    Ack,
    Event,
    EventFrame,
    to_json,
)


class LargestFrame(NamedTuple):
    payload: bytes
    ack: bytes

    @classmethod
    def make(cls) -> "LargestFrame":
        """An event of a store that no device has: whoever else listens sees a frame that is read,
        and acknowledged."""
        store = secrets.randbits(32)
        frame = EventFrame(
            v=1, store=store, seq=1, boot=0, sid=uuid4(), up=0, event=Event(name="largest_frame")
        )
        whole = to_json(frame)
        blanks = b" " * (MAX_PAYLOAD_BYTES - len(whole))
        return cls(whole[:-1] + blanks + b"}", to_json(Ack(store=store, upto=1)))
