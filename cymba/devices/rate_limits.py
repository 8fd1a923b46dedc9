"""Rate limits: token buckets for devices and accounts. Quotas for what stays are in `quotas`.

Every device has a bucket for frames, one for their bytes and one for all other messages. Every
account has one for frames. A rejected frame costs ten times its bytes, because reading and
explaining it takes longest. While a bucket runs low, the acks name the rate to keep to. A frame
that finds one empty is rejected with `rate`, and its device keeps it. A live device sends a frame
every few seconds and never reaches a limit. Buckets belong to one process: with several bridges a
device has a bucket in each.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import NamedTuple

MAX_BUCKETS = 100_000  # of one kind; the least recently used is full again when it is evicted


class Rate(NamedTuple):
    """`per_s` in the long run, and `burst` at once."""

    per_s: float
    burst: float


DEVICE_FRAMES = Rate(per_s=200, burst=2_000)
DEVICE_BYTES = Rate(per_s=400_000, burst=8_000_000)
ACCOUNT_FRAMES = Rate(per_s=500, burst=5_000)
# Other messages than frames: presence, states, the clock. A connection sends about five.
DEVICE_MESSAGES = Rate(per_s=5, burst=300)
REJECTED_FACTOR = 10  # times the bytes of a frame that is rejected
LOW = 0.5  # of a burst: below this, acks name the rate limit


class Admission(NamedTuple):
    """`max_frames_per_s` is for the acknowledgement; None while there is room."""

    admitted: bool
    max_frames_per_s: float | None


FREE = Admission(admitted=True, max_frames_per_s=None)
_OVER_LIMIT = Admission(admitted=False, max_frames_per_s=None)


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float = -inf


class Buckets:
    """Token buckets by key."""

    def __init__(self, rate: Rate, *, max_buckets: int = MAX_BUCKETS) -> None:
        self.rate = rate
        # In C: every frame passes through here, several times.
        self._bucket = lru_cache(max_buckets)(lambda _key: _Bucket(rate.burst))

    def __len__(self) -> int:
        return self._bucket.cache_info().currsize

    def filled(self, key: str, now_s: float) -> _Bucket:
        """The key's bucket as it is at `now_s`."""
        bucket = self._bucket(key)
        passed_s = now_s - bucket.at_s
        if passed_s > 0:
            # Spelt out, because every frame passes through here: min() would take twice as long.
            level = bucket.level + passed_s * self.rate.per_s
            bucket.level = level if level < self.rate.burst else self.rate.burst  # noqa: FURB136
            bucket.at_s = now_s
        return bucket


class RateLimits:
    """The buckets of one process. `now_s` is monotonic."""

    def __init__(
        self,
        device_frames: Rate = DEVICE_FRAMES,
        device_bytes: Rate = DEVICE_BYTES,
        account_frames: Rate = ACCOUNT_FRAMES,
        device_messages: Rate = DEVICE_MESSAGES,
    ) -> None:
        self._messages = Buckets(device_messages)
        self._frames = Buckets(device_frames)
        self._bytes = Buckets(device_bytes)
        self._accounts = Buckets(account_frames)
        self._low_frames = LOW * device_frames.burst
        self._low_bytes = LOW * device_bytes.burst
        self._low_account = LOW * account_frames.burst

    def admit_message(self, device_id: str, now_s: float) -> bool:
        """Charge the device for a message that is not a frame; whether it is admitted."""
        bucket = self._messages.filled(device_id, now_s)
        if bucket.level < 1:
            return False
        bucket.level -= 1
        return True

    def charge_rejected(self, device_id: str, payload_bytes: int, now_s: float) -> None:
        """Charge for a frame that was admitted and then rejected. The debt is at most one burst."""
        bucket = self._bytes.filled(device_id, now_s)
        cost = (REJECTED_FACTOR - 1) * payload_bytes
        bucket.level = max(-self._bytes.rate.burst, bucket.level - cost)

    def debt_s(self, device_id: str, now_s: float) -> float:
        """How long until a frame of the device is admitted again."""
        return max(0.0, -self._bytes.filled(device_id, now_s).level / self._bytes.rate.per_s)

    def admit_all(
        self,
        device_id: str,
        frames: int,
        payload_bytes: int,
        now_s: float,
        *,
        account_id: str | None = None,
    ) -> bool:
        """Charge for so many frames at once, if no bucket runs low by it. So it charges what
        `admit` would, frame by frame; if it says no, nothing is charged."""
        number = self._frames.filled(device_id, now_s)
        size = self._bytes.filled(device_id, now_s)
        account = None if account_id is None else self._accounts.filled(account_id, now_s)
        if (
            number.level - frames < self._low_frames
            or size.level - payload_bytes < self._low_bytes
            or (account is not None and account.level - frames < self._low_account)
        ):
            return False
        number.level -= frames
        size.level -= payload_bytes
        if account is not None:
            account.level -= frames
        return True

    def admit(
        self, device_id: str, payload_bytes: int, now_s: float, *, account_id: str | None = None
    ) -> Admission:
        """Charge all buckets for one frame, if it is admitted.

        A rejected frame costs nothing, so a device that keeps to the rate limit gets through.
        """
        frames = self._frames.filled(device_id, now_s)
        size = self._bytes.filled(device_id, now_s)
        account = None if account_id is None else self._accounts.filled(account_id, now_s)
        admitted = (
            frames.level >= 1
            and size.level >= payload_bytes
            and (account is None or account.level >= 1)
        )
        if admitted:
            frames.level -= 1
            size.level -= payload_bytes
            if account is not None:
                account.level -= 1
        if (
            frames.level >= self._low_frames
            and size.level >= self._low_bytes
            and (account is None or account.level >= self._low_account)
        ):
            return FREE if admitted else _OVER_LIMIT
        rates = [
            rate.per_s / cost
            for bucket, rate, low, cost in (
                (frames, self._frames.rate, self._low_frames, 1.0),
                (size, self._bytes.rate, self._low_bytes, max(1.0, payload_bytes)),
                (account, self._accounts.rate, self._low_account, 1.0),
            )
            if bucket is not None and bucket.level < low
        ]
        return Admission(admitted, min(rates))
