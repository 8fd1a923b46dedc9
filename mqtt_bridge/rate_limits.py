"""The rate limit of each device and account, applied as messages arrive.

It is applied in the network thread, before a frame is queued or decoded. So a flood delays its own
device only, and not the queue or the writer. A frame over the limit is not lost: its device keeps
it until it is acknowledged. Of presence and state only the newest counts: that one waits
(`intake`), and those it replaces are dropped.
"""

import time
from collections import deque
from functools import lru_cache

from cachetools import LRUCache

from cymba.devices.rate_limits import FREE, MAX_BUCKETS, Admission, RateLimits
from cymba.stimulation.ingest.decide import payload_name
from cymba.stimulation.wire.messages import Ack, Rejection
from cymba.stimulation.wire.parsing import read_number

# What is charged at once: so many frames, of up to the next multiple of so many bytes each.
PAID_FRAMES, PAID_BYTES = 16, 512
REFUSE_AGAIN_S = 1.0
# A correct device has 20 frames outstanding and resends each after 30 s or more. So at the limit it
# sends about one a second. Thousands more are a flood.
FLOOD_FRAMES = 3_000
FLOOD_S = 10.0
MOST_REFUSED = 10_000  # devices whose last rejection is known


class _Paid:
    """What a device has paid for in advance."""

    __slots__ = ("frames", "most_bytes")

    def __init__(self) -> None:
        self.frames = 0
        self.most_bytes = 0  # of each


class IncomingRateLimits:
    """`holders` gives a device's account, if the writer knows it."""

    def __init__(self, holders: dict[str, str], flow: RateLimits | None = None) -> None:
        self._holders = holders
        self._flow = flow or RateLimits()
        self._paid = lru_cache(MAX_BUCKETS)(lambda _device_id: _Paid())
        self._refused_at_s: LRUCache[str, float] = LRUCache(MOST_REFUSED)
        self._rejected: deque[tuple[str, int]] = deque()  # devices and bytes, from the writer
        self._held_off: dict[str, int] = {}  # how many messages of each device in this span
        self._span_began_s = time.monotonic()
        self.flooding: deque[str] = deque()  # devices to suspend; `FloodGuard` takes them

    def charge_rejected(self, device_id: str, payload_bytes: int) -> None:
        """Charge a rejected frame. Thread-safe: the next `admit` takes it from the bucket."""
        self._rejected.append((device_id, payload_bytes))

    def admit(self, device_id: str, payload_bytes: int, now_s: float) -> Admission:
        """Charge for a frame, if it is admitted: for some frames in advance, as long as no bucket
        runs low by it. To ask the buckets for each costs more than to split off the message."""
        while self._rejected:
            in_debt, rejected_bytes = self._rejected.popleft()
            self._flow.charge_rejected(in_debt, rejected_bytes, now_s)
            self._paid(in_debt).frames = 0
        paid = self._paid(device_id)
        if paid.frames and payload_bytes <= paid.most_bytes:
            paid.frames -= 1
            return FREE
        account_id = self._holders.get(device_id)
        most_bytes = (payload_bytes // PAID_BYTES + 1) * PAID_BYTES
        if self._flow.admit_all(
            device_id, PAID_FRAMES, PAID_FRAMES * most_bytes, now_s, account_id=account_id
        ):
            paid.frames, paid.most_bytes = PAID_FRAMES - 1, most_bytes
            return FREE
        return self._flow.admit(device_id, payload_bytes, now_s, account_id=account_id)

    def admit_message(self, device_id: str, now_s: float) -> bool:
        """Whether a message that is no frame is within the rate limit."""
        return self._flow.admit_message(device_id, now_s)

    def count_held_off(self, device_id: str) -> None:
        now_s = time.monotonic()
        if now_s - self._span_began_s > FLOOD_S:
            self._held_off.clear()
            self._span_began_s = now_s
        count = self._held_off.get(device_id, 0) + 1
        self._held_off[device_id] = count
        if count == FLOOD_FRAMES:
            self.flooding.append(device_id)

    def refusal(self, device_id: str, payload: bytes, rate_per_s: float | None) -> Ack | None:
        """The ack for a frame over the limit; None if its device had one a moment ago.

        So a flood is not answered with a flood. Frames that no ack names are resent with the usual
        backoff.
        """
        now_s = time.monotonic()
        refused_at_s = self._refused_at_s.get(device_id)
        if refused_at_s is not None and now_s - refused_at_s < REFUSE_AGAIN_S:
            return None
        self._refused_at_s[device_id] = now_s
        number = read_number(payload)
        rejection = Rejection(
            code="rate",
            detail="frames arrive too fast; keep to max_frames_per_s",
            retry=True,
            seq=number.seq,
            payload=payload_name(payload) if number.seq is None else None,
        )
        # 0: nothing new is resolved. A device keeps the highest `upto` it has received.
        return Ack(store=number.store, upto=0, rejected=[rejection], max_frames_per_s=rate_per_s)
