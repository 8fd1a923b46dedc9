"""Leaky buckets in the database: limits that hold for all processes, and after a restart.

This is the one rate limiter that is kept. Those of one process's memory are `devices.rate_limits`.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.tables import RateLimit
from cymba.database import one_of

KEY_BYTES = 16
KEPT_FOR = timedelta(days=90)  # a bucket that nobody asks for
# The clocks of those who count may be apart by so much, which gives nobody more. Beyond it a clock
# was ahead and was set back: a bucket forgets nothing by that, and goes on forgetting from then.
APART = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Takes `capacity` at once, and forgets one every `leak_s` seconds."""

    capacity: int
    leak_s: float

    def level(self, stored: float, elapsed_s: float) -> float:
        return max(0.0, stored - max(0.0, elapsed_s) / self.leak_s)

    def wait_s(self, level: float, cost: float = 1) -> int:
        """Seconds until `cost` more fits; 0 where it does. What is larger than the bucket fits
        into an empty one."""
        return max(0, math.ceil((level + min(cost, self.capacity) - self.capacity) * self.leak_s))

    def full_again_s(self, left: float) -> int:
        """Seconds until all of it is there again, of which `left` is now."""
        return max(0, math.ceil((self.capacity - left) * self.leak_s))


Limits = Mapping[bytes, Bucket]


def make_key(kind: str, whose: str, secret: bytes = b"") -> bytes:
    """The key of a bucket; with a `secret`, nobody else can try whose it is."""
    return blake2b(f"{kind}\0{whose}".encode(), key=secret, digest_size=KEY_BYTES).digest()


def count(session: Session, limits: Limits, now: datetime) -> int:
    """Count one in each bucket where it fits into all. Else the seconds to wait until it does.

    The rows stay locked until the end of the transaction.
    """
    rows = _locked(session, limits, now)
    wait_s = max(limits[key].wait_s(row.level) for key, row in rows.items())
    if not wait_s:
        for row in rows.values():
            row.level += 1
    return wait_s


def add(session: Session, limits: Limits, now: datetime) -> None:
    """Count one that has happened, however full the buckets are."""
    for row in _locked(session, limits, now).values():
        row.level += 1


def spend(
    session: Session, costs: Mapping[bytes, tuple[Bucket, float]], now: datetime
) -> dict[bytes, float]:
    """Count a cost in each bucket, and give what is left of it; below 0 it was too much. A bucket
    that costs nothing is not locked."""
    limits = {key: bucket for key, (bucket, _) in costs.items()}
    left = {key: float(bucket.capacity) for key, bucket in limits.items()}
    free = [key for key, (_, cost) in costs.items() if not cost]
    found = session.execute(_LEVELS.where(one_of(RateLimit.key, free)))
    for key, level, updated_at in found:
        elapsed_s = (now - updated_at).total_seconds()
        left[key] -= limits[key].level(level, elapsed_s)
    for key, (bucket, cost) in sorted(costs.items()):
        if not cost:
            continue
        row = {"key": key, "cost": cost, "leak_s": bucket.leak_s, "now": now}
        left[key] -= session.scalars(_SPEND, row).one()
    return left


def forget(session: Session, prefix: bytes) -> None:
    """Delete the buckets whose keys begin with `prefix`."""
    last = prefix + b"\xff" * KEY_BYTES * 2
    session.execute(delete(RateLimit).where(RateLimit.key.between(prefix, last)))


def take_back(session: Session, keys: Collection[bytes]) -> None:
    for row in _rows(session, keys):
        row.level = max(0.0, row.level - 1)


def waits_s(session: Session, limits: Limits, now: datetime) -> dict[bytes, int]:
    """How long one more would have to wait for each bucket, as it is now. Nothing is locked but
    what was counted while a clock was ahead."""
    found = session.execute(_LEVELS.where(RateLimit.key.in_(limits))).all()
    ahead = {key: limits[key] for key, _, updated_at in found if updated_at > now + APART}
    if ahead:
        _locked(session, ahead, now)
    return {
        key: limits[key].wait_s(limits[key].level(level, (now - updated_at).total_seconds()))
        for key, level, updated_at in found
    }


def _locked(session: Session, limits: Limits, now: datetime) -> dict[bytes, RateLimit]:
    """The buckets' rows, locked, with the levels that are left of them `now`."""
    _forget_old(session, now)
    fresh = [{"key": key, "level": 0.0, "updated_at": now} for key in sorted(limits)]
    session.execute(insert(RateLimit).values(fresh).on_conflict_do_nothing())
    rows = {row.key: row for row in _rows(session, limits)}
    for key, row in rows.items():
        row.level = limits[key].level(row.level, (now - row.updated_at).total_seconds())
        row.updated_at = now if row.updated_at > now + APART else max(now, row.updated_at)
    return rows


def _rows(session: Session, keys: Collection[bytes]) -> list[RateLimit]:
    """Locked in the order of their keys, so that no two transactions wait for each other."""
    statement = select(RateLimit).where(RateLimit.key.in_(keys)).order_by(RateLimit.key)
    statement = statement.with_for_update().execution_options(populate_existing=True)
    return list(session.scalars(statement))


def _forget_old(session: Session, now: datetime) -> None:
    """Drop a few rows that can matter no more, so that the table stays small by itself."""
    old = (
        select(RateLimit.key)
        .where(RateLimit.updated_at < now - KEPT_FOR)
        .limit(10)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(RateLimit).where(RateLimit.key.in_(old)))


_LEVELS = select(RateLimit.key, RateLimit.level, RateLimit.updated_at)
_SPEND = text(
    f"""
    INSERT INTO rate_limit AS r (key, level, updated_at) VALUES (:key, :cost, :now)
    ON CONFLICT (key) DO UPDATE SET
      level = greatest(0, :cost + greatest(0, r.level - greatest(
                0, extract(epoch FROM :now - r.updated_at)) / :leak_s)),
      updated_at = CASE WHEN r.updated_at > :now + interval '{APART}' THEN :now
                        ELSE greatest(r.updated_at, :now) END
    RETURNING level
    """  # noqa: S608 - a constant
)
