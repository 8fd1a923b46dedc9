"""A device's flash store: it keeps each frame until the server's own acknowledgement frees it."""

from collections import deque
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from cymba.stimulation.messages import Ack, Frame
from simulator.faults import Behaviour, Spoiling

Key = tuple[int, int]  # store, seq


@dataclass(slots=True)
class Kept:
    """A frame in flash. `due_s` is when it is to be sent (again)."""

    frame: Frame
    spoiling: Spoiling | None
    sendings: int = 0
    due_s: float = 0.0
    payload_name: str = ""  # by which the server names a payload whose seq it cannot read

    @property
    def key(self) -> Key:
        return self.frame.store, self.frame.seq


class Flash:
    """Frames not yet acknowledged: `waiting` for their first sending, or `outstanding`.

    Times are monotonic seconds of the real world: resends are the network's business and have
    nothing to do with the speed of the simulated one.
    """

    def __init__(self, behaviour: Behaviour, rng: np.random.Generator) -> None:
        self._behaviour, self._rng = behaviour, rng
        self._waiting: deque[Kept] = deque()
        self._outstanding: dict[Key, Kept] = {}
        self._held_until_s = 0.0  # by a rate that the server asked for
        self._spacing_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._outstanding)

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    def keep(self, frame: Frame, spoiling: Spoiling | None) -> None:
        self._waiting.append(Kept(frame, spoiling))

    def next_due_s(self) -> float:
        """When there is something to send; infinite if nothing is."""
        due_s = min((kept.due_s for kept in self._outstanding.values()), default=np.inf)
        if self._waiting and len(self._outstanding) < self._behaviour.max_outstanding:
            due_s = 0.0
        return max(due_s, self._held_until_s) if due_s < np.inf else np.inf

    def take_due(self, now_s: float) -> Kept | None:
        """The next frame to send now, resends first; `sent` then says that it was."""
        if now_s < self._held_until_s:
            return None
        due = min(self._outstanding.values(), key=lambda kept: kept.due_s, default=None)
        if due is not None and due.due_s <= now_s:
            return due
        if self._waiting and len(self._outstanding) < self._behaviour.max_outstanding:
            kept = self._waiting.popleft()
            self._outstanding[kept.key] = kept
            return kept
        return None

    def sent(self, kept: Kept, now_s: float, payload: bytes) -> None:
        """Resend in 30 s, then 60 s, 120 s … up to ten minutes, each up to a quarter longer."""
        delay_s = self._behaviour.resend_after_s * 2.0 ** min(kept.sendings, 16)
        delay_s = min(delay_s, self._behaviour.resend_at_most_s)
        kept.due_s = now_s + delay_s * self._rng.uniform(1.0, 1.25)
        kept.sendings += 1
        if kept.spoiling:
            kept.payload_name = sha256(payload).hexdigest()[:16]
        self._held_until_s = now_s + self._spacing_s

    def reconnected(self) -> None:
        """Forget how often frames were resent; not when, so that none is sent too soon."""
        for kept in self._outstanding.values():
            kept.sendings = min(kept.sendings, 1)

    def resolve(self, ack: Ack) -> int:
        """Free what is committed or refused for good; return how many frames that were."""
        self._spacing_s = 1.0 / ack.max_frames_per_s if ack.max_frames_per_s else 0.0
        if not self._spacing_s:
            self._held_until_s = 0.0
        done = {
            key
            for key in self._outstanding
            if key[0] == ack.store
            and (key[1] <= ack.upto or any(low <= key[1] <= high for low, high in ack.also))
        }
        for rejection in ack.rejected:
            if rejection.retry:
                continue
            if rejection.seq is not None and ack.store is not None:
                done.add((ack.store, rejection.seq))
            elif rejection.payload:
                done.update(
                    key
                    for key, kept in self._outstanding.items()
                    if kept.payload_name == rejection.payload
                )
        return sum(self._outstanding.pop(key, None) is not None for key in done)

    def free(self, key: Key) -> None:
        """Give a frame up without the server's word: only a broken device does."""
        self._outstanding.pop(key, None)
