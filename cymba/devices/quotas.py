"""What devices may make the database keep: new sessions, bytes of frames, and bytes of quarantine.

A correct device stays far below. A faulty one would leave rows and summaries for ever. What exceeds
a quota is rejected with `rate`, and its device keeps it.

The quotas are buckets in the database (`accounts.rate_limiter`). So that not every frame asks, each
process counts what it stores by itself, and enters it once that has come to a `Portion`, together
with asking what is left. So a device may exceed a quota by a portion in each process.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Protocol, Self
from uuid import UUID

import msgspec
from sqlalchemy.orm import Session

from cymba.accounts import rate_limiter
from cymba.accounts.quotas import of_account
from cymba.accounts.rate_limiter import Bucket, make_key
from cymba.devices.holders import holders_of

STORED, SESSIONS, QUARANTINED = "stored", "sessions", "quarantined"
OF_ACCOUNT, OF_ALL = "stored by account", "quarantined in all"
BUCKETS: Mapping[str, Bucket] = {
    # Bytes of frames. The worst honest device, 4 h a day of ten channels at 1 Hz in a frame of 2 kB
    # in 5 s, makes 6 MB a day; sixty days of that at once fit. In the long run it is 52 MB a day.
    STORED: Bucket(capacity=400_000_000, leak_s=1 / 600),
    OF_ACCOUNT: Bucket(capacity=1_600_000_000, leak_s=1 / 2_400),  # four such devices
    SESSIONS: Bucket(capacity=1_000, leak_s=60),  # years of a person's backlog at once
    # Bytes. One frame in ten of the worst honest device is 3.5 MB in a day of 24 h.
    QUARANTINED: Bucket(capacity=4_000_000, leak_s=1 / 50),
    OF_ALL: Bucket(capacity=1_000_000_000, leak_s=1 / 2_000),
}
PORTIONS = {STORED: 1_000_000.0, SESSIONS: 20.0, QUARANTINED: 64_000.0}
FRAME_BYTES = 500  # the least that a frame costs
QUARANTINE_ROW_BYTES = 500  # the least that a row costs
MAX_METERED = 100_000  # devices
MAX_SESSIONS_KNOWN = 200_000  # more than run at once
# A session is read and aggregated as a whole, so its size is bounded: by its bytes, and by what its
# frames and readings take in memory. A day of ten channels at 1 Hz, a frame in 5 s, is 45 MB.
MAX_SESSION_BYTES = 64_000_000
SESSION_FRAME_BYTES = 1_700  # the least that a frame counts of it
# What a frame, a sample and a reading take in memory, while their session is read, shown or
# compacted: 64 MB of them take 100 MB (`benchmarks.bench_memory`).
SAMPLE_BYTES = 260
READING_BYTES = 26


@dataclass(slots=True)
class Demand:
    """The most that a batch may use of a device's quotas."""

    stored: float = 0.0
    quarantined: float = 0.0
    sids: set[UUID] = field(default_factory=set)

    def store(self, sid: UUID, stored_bytes: int) -> None:
        self.stored += stored_bytes
        self.sids.add(sid)

    def quarantine(self, payload_bytes: int) -> None:
        self.quarantined += quarantine_cost(payload_bytes)


def costs_of(payload_bytes: int, memory_bytes: int) -> tuple[int, int]:
    """What a frame with a payload of this size, which takes so much memory, uses of what may be
    stored, and what it counts of its session."""
    size = payload_bytes if payload_bytes > memory_bytes else memory_bytes  # noqa: FURB136 - hot
    return (
        payload_bytes if payload_bytes > FRAME_BYTES else FRAME_BYTES,  # noqa: FURB136
        size if size > SESSION_FRAME_BYTES else SESSION_FRAME_BYTES,  # noqa: FURB136
    )


def quarantine_cost(payload_bytes: int) -> int:
    return max(payload_bytes, QUARANTINE_ROW_BYTES)


class FrameCost(msgspec.Struct, gc=False):
    """What frames of a session use of the quotas."""

    frames: int
    stored_bytes: int  # both by `costs_of`
    size: int


@dataclass(slots=True)
class _Meter:
    left: float = 0.0  # what may still be used before the database is asked
    spent: float = 0.0  # what the database has not heard of


@dataclass(slots=True)
class _Known:
    """A session that has begun."""

    size: int = 0  # in bytes, as `FrameCost` counts them


_Key = tuple[str, str]  # kind and device


class Quota:
    """The quotas as one process knows them."""

    def __init__(
        self,
        buckets: Mapping[str, Bucket] = BUCKETS,
        *,
        portions: Mapping[str, float] = PORTIONS,
        session_bytes: int = MAX_SESSION_BYTES,
    ) -> None:
        self._buckets = buckets
        self._portions = portions
        self._session_bytes = session_bytes
        self._meters_of = lru_cache(MAX_METERED)(self._new_meters)  # by device
        # By sid.int, the least recently used first. In C: nearly every frame is looked up here.
        self._known: OrderedDict[tuple[str, int], _Known] = OrderedDict()

    def settle(
        self, session: Session, demands: Mapping[str, Demand], now: datetime
    ) -> dict[_Key, float]:
        """Enter what was used, and ask what is left, of those devices for which that is not known
        well enough. Give what was entered, which counts once the caller has committed.

        Call it before a ledger is locked: the buckets' rows stay locked until the transaction ends.
        """
        low = {
            (kind, device_id): need
            for device_id, demand in demands.items()
            for kind, need in self._needs(device_id, demand).items()
            if need > self._meter(kind, device_id).left
        }
        if not low:
            return {}
        entered = {key: self._meter(*key).spent for key in low}
        holders = holders_of(session, {device_id for kind, device_id in low if kind == STORED})
        costs: dict[bytes, tuple[Bucket, float]] = {}
        for (kind, device_id), spent in entered.items():
            for key, bucket in self._of(kind, device_id, holders):
                costs[key] = bucket, costs.get(key, (bucket, 0.0))[1] + spent
        left = rate_limiter.spend(session, costs, now)
        for (kind, device_id), need in low.items():
            meter = self._meter(kind, device_id)
            meter.spent -= entered[kind, device_id]
            most = max(need, self._portions[kind])
            meter.left = min(most, *(left[key] for key, _ in self._of(kind, device_id, holders)))
        return entered

    def unsettle(self, entered: Mapping[_Key, float]) -> None:
        """What `settle` gave was rolled back."""
        for key, spent in entered.items():
            meter = self._meter(*key)
            meter.spent += spent
            meter.left = 0.0

    def spend(self, device_id: str, sid: UUID, cost: FrameCost) -> bool:
        """Whether frames of this session may be stored, which cost so much together. If not,
        nothing is counted. Once a session has begun, all its frames may be, up to the largest size
        of a session; the first one may be of any size."""
        stored_bytes, size = cost.stored_bytes, cost.size
        key = device_id, sid.int
        known = self._known.get(key)
        if known is not None:
            if known.size + size > self._session_bytes:
                return False
            self._known.move_to_end(key)
        elif cost.frames > 1 and size > self._session_bytes:
            return False
        meters = self._meters_of(device_id)
        stored = meters[STORED]
        if stored.left < stored_bytes or (known is None and meters[SESSIONS].left < 1):
            return False
        if known is None:
            _use(meters[SESSIONS], 1)
            known = self._known[key] = _Known()
            if len(self._known) > MAX_SESSIONS_KNOWN:
                self._known.popitem(last=False)
        stored.left -= stored_bytes
        stored.spent += stored_bytes
        known.size += size
        return True

    def quarantine(self, device_id: str, payload_bytes: int) -> bool:
        """Whether a payload may be kept in quarantine."""
        meter, cost = self._meter(QUARANTINED, device_id), quarantine_cost(payload_bytes)
        if meter.left < cost:
            return False
        _use(meter, cost)
        return True

    def reserve(self) -> "Reservation":
        return Reservation(self)

    def give_back(self, device_id: str, sid: UUID, cost: FrameCost) -> None:
        """Undo what `spend` allowed: nothing was stored."""
        _use(self._meter(STORED, device_id), -cost.stored_bytes)
        known = self._known.get((device_id, sid.int))
        if known is None:
            return
        known.size -= cost.size
        if known.size <= 0:  # the frame had begun the session
            del self._known[device_id, sid.int]
            _use(self._meter(SESSIONS, device_id), -1)

    def give_back_quarantine(self, device_id: str, payload_bytes: int) -> None:
        _use(self._meter(QUARANTINED, device_id), -quarantine_cost(payload_bytes))

    def _meter(self, kind: str, device_id: str) -> _Meter:
        return self._meters_of(device_id)[kind]

    def _new_meters(self, _device_id: str) -> dict[str, _Meter]:
        # Whether a payload goes into quarantine is known once its ledger is locked, too late to
        # ask: the first portion of it is free.
        free = self._portions[QUARANTINED]
        return {STORED: _Meter(), SESSIONS: _Meter(), QUARANTINED: _Meter(free)}

    def _needs(self, device_id: str, demand: Demand) -> dict[str, float]:
        begun = sum((device_id, sid.int) not in self._known for sid in demand.sids)
        room = quarantine_cost(0) if demand.stored else 0.0
        quarantined = max(demand.quarantined, room)
        return {STORED: demand.stored, SESSIONS: float(begun), QUARANTINED: quarantined}

    def _of(
        self, kind: str, device_id: str, holders: Mapping[str, str]
    ) -> Iterable[tuple[bytes, Bucket]]:
        """The buckets that a device's use of a kind goes into."""
        yield make_key(kind, device_id), self._buckets[kind]
        if kind == QUARANTINED:
            yield make_key(OF_ALL, ""), self._buckets[OF_ALL]
        if kind == STORED and (account_id := holders.get(device_id)) is not None:
            key = of_account(UUID(account_id)) + make_key(STORED, "")
            yield key, self._buckets[OF_ACCOUNT]


def _use(meter: _Meter, cost: float) -> None:
    meter.left -= cost
    meter.spent += cost


class QuotaCheck(Protocol):
    """What ingest asks before it stores: a `Quota`, or a `Reservation` on it."""

    def spend(self, device_id: str, sid: UUID, cost: FrameCost) -> bool: ...

    def quarantine(self, device_id: str, payload_bytes: int) -> bool: ...


class Reservation:
    """One transaction's part of a quota, given back if its block raises.

    A batch is retried as long as the database fails. If every attempt counted, a session would be
    too large before any of it was stored.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._entered: list[dict[_Key, float]] = []
        self._spent: list[tuple[str, UUID, FrameCost, int]] = []  # -1: given back
        self._quarantined: list[tuple[str, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.give_back_all()

    def settle(self, session: Session, demands: Mapping[str, Demand], now: datetime) -> None:
        self._entered.append(self._quota.settle(session, demands, now))

    def spend(self, device_id: str, sid: UUID, cost: FrameCost) -> bool:
        allowed = self._quota.spend(device_id, sid, cost)
        if allowed:
            self._spent.append((device_id, sid, cost, 1))
        return allowed

    def give_back(self, device_id: str, sid: UUID, cost: FrameCost) -> None:
        """Undo what `spend` allowed: these frames are not stored by this transaction."""
        self._quota.give_back(device_id, sid, cost)
        self._spent.append((device_id, sid, cost, -1))

    def quarantine(self, device_id: str, payload_bytes: int) -> bool:
        allowed = self._quota.quarantine(device_id, payload_bytes)
        if allowed:
            self._quarantined.append((device_id, payload_bytes))
        return allowed

    def give_back_all(self) -> None:
        """Nothing of it was stored."""
        totals: dict[tuple[str, UUID], FrameCost] = {}
        for device_id, sid, cost, sign in self._spent:
            total = totals.setdefault((device_id, sid), FrameCost(0, 0, 0))
            total.frames += sign * cost.frames
            total.stored_bytes += sign * cost.stored_bytes
            total.size += sign * cost.size
        for (device_id, sid), total in totals.items():
            if total.frames:
                self._quota.give_back(device_id, sid, total)
        for device_id, payload_bytes in self._quarantined:
            self._quota.give_back_quarantine(device_id, payload_bytes)
        for entered in self._entered:
            self._quota.unsettle(entered)
        self._entered, self._spent, self._quarantined = [], [], []
