"""What one party may make the database keep: counted by day in the database (`rate_limiter`).

A person at their worst stays far below. What comes beyond is refused whole, and can be sent again
later. What devices make is in `devices.quotas`.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts import rate_limiter
from cymba.accounts.rate_limiter import Bucket, make_key
from cymba.errors import TooManyRequests

# Bytes of the requests that change something. Five years of a diary, written offline, are 15 MB;
# in the long run it is 4 MB a day, which makes 6,000 entries or operations.
WRITTEN = Bucket(capacity=32_000_000, leak_s=1 / 50)
REQUEST_BYTES = 500  # what a request costs whatever it holds: rows, the feed, the audit log
# Bytes of files from other apps: two of the largest at once, one a day in the long run.
IMPORTED = Bucket(capacity=600_000_000, leak_s=1 / 3_000)
# Each look at a share is an entry in the owner's audit log: 1,440 a day in the long run.
SHARE_LOOKS = Bucket(capacity=1_000, leak_s=60)


class Charge(NamedTuple):
    """What a request costs its sender, if it is answered."""

    name: str  # which of its sender's quotas
    key: bytes
    bucket: Bucket
    unit: str  # of the bucket, as `RateLimit-Policy` names it
    cost: float
    detail: str  # where it is too much

    def refused(self, left: float) -> TooManyRequests:
        """What is said where it does not fit."""
        wait_s = self.bucket.wait_s(self.bucket.capacity - left - self.cost, self.cost)
        return TooManyRequests(self.detail, retry_after_s=max(1, wait_s))


def written(account_id: UUID, body_bytes: int) -> Charge:
    """For a request of the account that changes something."""
    key = of_account(account_id) + make_key("written", "")
    detail = "This account has written too much of late. Wait, then send it again."
    return Charge("written", key, WRITTEN, "content-bytes", REQUEST_BYTES + body_bytes, detail)


def imported(account_id: UUID, body_bytes: int) -> Charge:
    """For a piece of a file that the account brings from another app."""
    key = of_account(account_id) + make_key("imported", "")
    detail = "This account has brought too much of late. Wait, then send it again."
    return Charge("imported", key, IMPORTED, "content-bytes", REQUEST_BYTES + body_bytes, detail)


def share_look(account_id: UUID, share_id: UUID) -> Charge:
    """For a look at what the account shares."""
    key = of_account(account_id) + make_key("share", str(share_id))
    detail = "Too much was read by this share of late. Wait."
    return Charge("share", key, SHARE_LOOKS, "requests", 1, detail)


def of_account(account_id: UUID) -> bytes:
    """What the keys of an account's buckets begin with."""
    return make_key("account", str(account_id))


def take(session: Session, charge: Charge, now: datetime) -> float:
    """Count a charge, and give what is left of its bucket. Below 0 it does not fit: roll back, and
    it is not counted. Call it as the last of the transaction: the bucket is locked until its end.
    """
    (left,) = rate_limiter.spend(session, {charge.key: (charge.bucket, charge.cost)}, now).values()
    return left


def forget(session: Session, account_id: UUID) -> None:
    """Delete what was counted of an account: it is erased."""
    rate_limiter.forget(session, of_account(account_id))
