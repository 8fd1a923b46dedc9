"""A device's flash store: it keeps each frame until the server acknowledges it."""

from collections import deque
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from cymba.stimulation.wire.messages import Ack, EndFrame, Frame, StartFrame
from simulator.faults import Behaviour, Spoiling

Key = tuple[int, int]  # store, seq


@dataclass(slots=True)
class FlashFrame:
    """A frame in flash. `due_s` is when it is to be sent again."""

    frame: Frame
    spoiling: Spoiling | None
    was_sent: bool = False
    doublings: int = 0  # of the backoff before its next resend
    due_s: float = 0.0
    payload_name: str = ""  # the server's name for a payload whose seq it cannot read

    @property
    def key(self) -> Key:
        return self.frame.store, self.frame.seq


class Flash:
    """Frames not yet acknowledged: waiting for their first sending, or outstanding.

    Rules R25 to R31 of the protocol. Times are monotonic seconds of real time: resends do not
    depend on the speed of the simulation.
    """

    def __init__(self, behaviour: Behaviour, rng: np.random.Generator) -> None:
        self._behaviour, self._rng = behaviour, rng
        self._backlog: deque[FlashFrame] = deque()
        self._live: deque[FlashFrame] = deque()  # of the session that is running
        self._live_is_next = True
        self._outstanding: dict[Key, FlashFrame] = {}
        self._resends_from_s = 0.0
        self._paced_until_s = 0.0
        self._pace_s = 0.0  # between two frames, by the rate limit that the server gave

    def __len__(self) -> int:
        return len(self._backlog) + len(self._live) + len(self._outstanding)

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    def keep(self, frame: Frame, spoiling: Spoiling | None) -> None:
        if isinstance(frame, StartFrame):
            self._end_session()
        self._live.append(FlashFrame(frame, spoiling))
        if isinstance(frame, EndFrame):
            self._end_session()

    def next_due_s(self) -> float:
        """When there is something to send; infinite if nothing is."""
        due_s = min((kept.due_s for kept in self._outstanding.values()), default=np.inf)
        due_s = max(due_s, self._resends_from_s)
        if self._may_send_new():
            due_s = 0.0
        return max(due_s, self._paced_until_s)

    def take_due(self, now_s: float) -> FlashFrame | None:
        """The next frame to send now, resends first. Call `sent` once it was."""
        if now_s < self._paced_until_s:
            return None
        due = min(self._outstanding.values(), key=lambda kept: kept.due_s, default=None)
        if due is not None and max(due.due_s, self._resends_from_s) <= now_s:
            return due
        if not self._may_send_new():
            return None
        kept = self._next_new()
        self._outstanding[kept.key] = kept
        return kept

    def sent(self, kept: FlashFrame, now_s: float, payload: bytes) -> None:
        """Backoff: resend after 30 s, 60 s, 120 s … up to ten minutes, each up to a quarter
        longer."""
        delay_s = self._behaviour.resend_after_s * 2.0 ** min(kept.doublings, 16)
        delay_s = min(delay_s, self._behaviour.resend_at_most_s)
        kept.due_s = now_s + delay_s * self._rng.uniform(1.0, 1.25)
        kept.doublings += 1
        kept.was_sent = True
        if kept.spoiling:
            kept.payload_name = sha256(payload).hexdigest()[:16]
        self._paced_until_s = now_s + self._pace_s

    def connected(self, now_s: float) -> None:
        """Start the backoff anew, without shortening a delay, and wait for the server's first
        ack."""
        self._resends_from_s = now_s + self._behaviour.answer_awaited_s
        for kept in self._outstanding.values():
            kept.doublings = 0

    def hurry(self, now_s: float) -> None:
        """At the end of the simulation: shorten every delay to at most a first one."""
        for kept in self._outstanding.values():
            kept.due_s = min(kept.due_s, now_s + self._behaviour.resend_after_s)
            kept.doublings = 0

    def resolve(self, ack: Ack) -> int:
        """Free what is committed or rejected for good. Return how many frames that were."""
        self._resends_from_s = 0.0
        self._pace_s = 1.0 / ack.max_frames_per_s if ack.max_frames_per_s else 0.0
        if not self._pace_s:
            self._paced_until_s = 0.0
        before = len(self)
        for waiting in (self._backlog, self._live):
            if waiting and _covers(ack, waiting[0].key):  # it was uploaded in another way
                left = [kept for kept in waiting if not _covers(ack, kept.key)]
                waiting.clear()
                waiting.extend(left)
        named = {one.payload for one in ack.rejected if one.payload and not one.retry}
        for key, kept in tuple(self._outstanding.items()):
            if _covers(ack, key) or kept.payload_name in named:
                del self._outstanding[key]
        return before - len(self)

    def free(self, key: Key) -> None:
        """Free a frame without an ack: only a broken device does this."""
        self._outstanding.pop(key, None)

    def _end_session(self) -> None:
        self._backlog.extend(self._live)
        self._live.clear()

    def _may_send_new(self) -> bool:
        waits = self._backlog or self._live
        return bool(waits) and len(self._outstanding) < self._behaviour.max_outstanding

    def _next_new(self) -> FlashFrame:
        """Frames of the running session first, and the backlog in between."""
        live = bool(self._live) and (self._live_is_next or not self._backlog)
        self._live_is_next = not live
        return self._live.popleft() if live else self._backlog.popleft()


def _covers(ack: Ack, key: Key) -> bool:
    store, seq = key
    return store == ack.store and (
        seq <= ack.upto or any(low <= seq <= high for low, high in ack.also)
    )
