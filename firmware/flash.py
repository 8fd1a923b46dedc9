"""A device's flash store: it keeps each frame until the server acknowledges it."""

import math
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import msgspec

from cymba.stimulation.wire.messages import Ack, EndFrame, Frame, StartFrame

Key = tuple[int, int]  # store, seq


class Randomness(Protocol):
    """`random.Random`, or a generator of NumPy's."""

    def uniform(self, low: float, high: float, /) -> float: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a device tries again, and how much it leaves outstanding. The protocol's values."""

    resend_after_s: float = 30.0
    resend_at_most_s: float = 600.0
    reconnect_at_most_s: float = 300.0
    answer_awaited_s: float = 5.0  # waits so long for the answer to its presence before it resends
    max_outstanding: int = 20


@dataclass(slots=True)
class FlashFrame:
    """A frame in flash. `due_s` is when it is to be sent again."""

    frame: Frame
    sendings: int = 0
    doublings: int = 0  # of the backoff before its next resend
    due_s: float = 0.0
    payload_name: str = ""  # the server's name for what was sent last, if it cannot read its seq

    @property
    def key(self) -> Key:
        return self.frame.store, self.frame.seq

    def sent_ms(self, store_and_boot: tuple[int, int], up_ms: int) -> int | None:
        """The moment of a sending, where the frame is of this boot."""
        is_current = (self.frame.store, self.frame.boot) == store_and_boot
        return max(up_ms, self.frame.up) if is_current else None

    def stamped(self, sent_ms: int | None) -> Frame:
        """The frame with the moment of this sending, which is all that ever changes in it."""
        return msgspec.structs.replace(self.frame, sent=sent_ms)


class Flash:
    """Frames not yet acknowledged: waiting for their first sending, or outstanding.

    Rules R25 to R31 of the protocol. Times are monotonic seconds of real time: resends do not
    depend on the speed of a simulation.
    """

    def __init__(self, pace: Pace, rng: Randomness) -> None:
        self._pace, self._rng = pace, rng
        self._backlog: deque[FlashFrame] = deque()
        self._live: deque[FlashFrame] = deque()  # of the session that is running
        self._live_is_next = True
        self._outstanding: dict[Key, FlashFrame] = {}
        self._resends_from_s = 0.0
        self._paced_until_s = 0.0
        self._between_s = 0.0  # between two frames, by the rate limit that the server gave

    def __len__(self) -> int:
        return len(self._backlog) + len(self._live) + len(self._outstanding)

    @property
    def outstanding(self) -> int:
        return len(self._outstanding)

    def keep(self, frame: Frame) -> None:
        if isinstance(frame, StartFrame):
            self._end_session()
        self._live.append(FlashFrame(frame))
        if isinstance(frame, EndFrame):
            self._end_session()

    def next_due_s(self) -> float:
        """When there is something to send; infinite if nothing is."""
        due_s = min((kept.due_s for kept in self._outstanding.values()), default=math.inf)
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
        delay_s = self._pace.resend_after_s * 2.0 ** min(kept.doublings, 16)
        delay_s = min(delay_s, self._pace.resend_at_most_s)
        kept.due_s = now_s + delay_s * self._rng.uniform(1.0, 1.25)
        kept.doublings += 1
        kept.sendings += 1
        kept.payload_name = sha256(payload).hexdigest()[:16]
        self._paced_until_s = now_s + self._between_s

    def connected(self, now_s: float) -> None:
        """Start the backoff anew, without shortening a delay, and wait for the server's first
        ack."""
        self._resends_from_s = now_s + self._pace.answer_awaited_s
        for kept in self._outstanding.values():
            kept.doublings = 0

    def hurry(self, now_s: float) -> None:
        """Before the device leaves: shorten every delay to at most a first one."""
        for kept in self._outstanding.values():
            kept.due_s = min(kept.due_s, now_s + self._pace.resend_after_s)
            kept.doublings = 0

    def resolve(self, ack: Ack) -> list[Key]:
        """Free what is committed or rejected for good. Return which frames that were."""
        self._resends_from_s = 0.0
        self._between_s = 1.0 / ack.max_frames_per_s if ack.max_frames_per_s else 0.0
        if not self._between_s:
            self._paced_until_s = 0.0
        freed: list[Key] = []
        for waiting in (self._backlog, self._live):
            if waiting and _covers(ack, waiting[0].key):  # it was uploaded in another way
                freed += [kept.key for kept in waiting if _covers(ack, kept.key)]
                left = [kept for kept in waiting if not _covers(ack, kept.key)]
                waiting.clear()
                waiting.extend(left)
        named = {one.payload for one in ack.rejected if one.payload and not one.retry}
        for key, kept in tuple(self._outstanding.items()):
            if _covers(ack, key) or kept.payload_name in named:
                del self._outstanding[key]
                freed.append(key)
        return freed

    def free(self, key: Key) -> None:
        """Free a frame without an ack: only a broken device does this."""
        self._outstanding.pop(key, None)

    def _end_session(self) -> None:
        self._backlog.extend(self._live)
        self._live.clear()

    def _may_send_new(self) -> bool:
        waits = self._backlog or self._live
        return bool(waits) and len(self._outstanding) < self._pace.max_outstanding

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
