"""What every way to the server does with the store: frames go out of it, and acks free them."""

from collections.abc import Sequence

from cymba.stimulation.wire.messages import Ack
from firmware.flash import Flash, Key
from gateway.store import FrameStore

ONLINE = "Online: what is recorded is sent to the server."
OFFLINE = "Offline: what is recorded is kept here, and sent later."


class Outbox:
    """Belongs to one thread, as its store does."""

    def __init__(self, store: FrameStore, flash: Flash) -> None:
        self._store, self._flash = store, flash
        self._seen = 0  # of the store's running numbers

    def pull(self) -> None:
        """Take the frames that were written since into the flash."""
        for number, frame in self._store.frames_after(self._seen):
            self._flash.keep(frame)
            self._seen = number

    def settle(self, ack: Ack, freed: Sequence[Key]) -> list[str]:
        """Free what is acknowledged. What was rejected is returned, in words for the person."""
        self._store.free(freed)
        if any(one.code == "key-reuse" for one in ack.rejected):
            self._store.ask_for_renewal()
        return [
            f"The server does not take a frame: {one.code} ({one.detail})." for one in ack.rejected
        ]
