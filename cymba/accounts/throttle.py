"""Slowing down those who guess passwords, without locking out the owner.

Failures fill leaky buckets: one for each pair of e-mail and network address, one for each address,
and one for each e-mail. The last stops a guess spread over many addresses. Where a pair has signed
in lately, its own bucket alone is asked: so nobody can lock the owner out of the places they sign
in from, not even somebody who guesses at other accounts from the same address. E-mails and
addresses are stored as keyed hashes only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts import addresses
from cymba.accounts.tables import SignInBucket


@dataclass(frozen=True, slots=True)
class Bucket:
    """Takes `capacity` failures, and forgets one every `leak_s` seconds."""

    capacity: int
    leak_s: float

    def level(self, stored: float, elapsed_s: float) -> float:
        return max(0.0, stored - max(0.0, elapsed_s) / self.leak_s)

    def wait_s(self, level: float) -> int:
        """Seconds until one more failure fits; 0 where it does."""
        return max(0, math.ceil((level + 1 - self.capacity) * self.leak_s))


PAIR = "pair"
ADDRESS = "address"
EMAIL = "email"
SIGN_UP = "sign-up"
RECOVERY = "recovery"
RECIPIENT = "recipient"
PROOF = "proof"
OIDC = "oidc"
SIGNED_IN = "signed-in"
BUCKETS = {
    PAIR: Bucket(capacity=5, leak_s=180),
    ADDRESS: Bucket(capacity=30, leak_s=20),
    EMAIL: Bucket(capacity=50, leak_s=300),
    SIGN_UP: Bucket(capacity=20, leak_s=60),  # of accounts from one address
    RECOVERY: Bucket(capacity=20, leak_s=60),  # of codes asked for or tried from one address
    RECIPIENT: Bucket(capacity=5, leak_s=720),  # of codes that are sent to one e-mail
    PROOF: Bucket(capacity=5, leak_s=180),  # of current passwords that one sign-in gives
    OIDC: Bucket(capacity=30, leak_s=20),  # of sign-ins that one address begins at a provider
    SIGNED_IN: Bucket(capacity=30, leak_s=60),  # of sign-ins with the right password
}
_KEY_BYTES = 16
KNOWN_FOR = timedelta(days=90)  # how long a pair that signed in stays known


@dataclass(frozen=True, slots=True)
class Attempt:
    """Counted as a failure before the password is looked at, so that guesses made in parallel
    count too; `forgive` takes it back."""

    keys: Mapping[str, bytes]  # kind of bucket -> its key


@dataclass(frozen=True, slots=True)
class Throttled:
    retry_after_s: int


def count_sign_in(
    session: Session, key: bytes, *, email: str, address: str, now: datetime
) -> Attempt | Throttled:
    """Count one attempt to sign in, or refuse it. Commit before the password is verified: the
    rows are locked, and a slow hash would hold up the owner too."""
    place = network(address)
    of_email = _of_email(key, email)
    # A pair's key begins with its e-mail's, so that `forget` finds it without the address.
    pair = of_email + _key(key, PAIR, f"{addresses.key(email)}\0{place}")
    keys = {PAIR: pair, ADDRESS: _key(key, ADDRESS, place), EMAIL: of_email}
    return _count(session, keys, now)


def count_sign_up(
    session: Session, key: bytes, *, address: str, now: datetime
) -> Attempt | Throttled:
    """Count one new account from an address; it is never forgiven."""
    return _count(session, {SIGN_UP: _key(key, SIGN_UP, network(address))}, now)


def count_recovery(
    session: Session, key: bytes, *, address: str, now: datetime
) -> Attempt | Throttled:
    """Count one code that is asked for or tried from an address; it is never forgiven."""
    return _count(session, {RECOVERY: _key(key, RECOVERY, network(address))}, now)


def count_recipient(
    session: Session, key: bytes, *, email: str, now: datetime
) -> Attempt | Throttled:
    """Count one code that is to be sent to an e-mail, whether or not it has an account."""
    of_email = _of_email(key, email)  # which `forget` finds it by
    return _count(session, {RECIPIENT: of_email + _key(key, RECIPIENT, "")}, now)


def count_proof(
    session: Session, key: bytes, *, family_id: UUID, now: datetime
) -> Attempt | Throttled:
    """Count one current password that a sign-in gives; `forgive` takes it back. A thief's guesses
    are counted against the sign-in that was stolen, not against the owner's own."""
    return _count(session, {PROOF: _key(key, PROOF, str(family_id))}, now)


def count_oidc(session: Session, key: bytes, *, address: str, now: datetime) -> Attempt | Throttled:
    """Count one sign-in that is begun at a provider from an address; it is never forgiven."""
    return _count(session, {OIDC: _key(key, OIDC, network(address))}, now)


def forgive(session: Session, attempt: Attempt, now: datetime) -> Throttled | None:
    """The password was right: take the attempt back, and know this pair from now on.

    Who signs in all the time is no owner who forgets: beyond a limit of its own, which only the
    right password fills, the attempt stays counted as a failure, and is refused.
    """
    if EMAIL in attempt.keys:
        # The key begins with the e-mail's, as a pair's does.
        signed_in = {SIGNED_IN: attempt.keys[EMAIL] + SIGNED_IN.encode()}
        often = _count(session, signed_in, now)
        if isinstance(often, Throttled):
            return often
    for bucket in _locked(session, attempt):
        if bucket.key == attempt.keys.get(PAIR):
            bucket.level = 0.0
            bucket.succeeded_at = now
        else:
            bucket.level = max(0.0, bucket.level - 1)
    return None


def take_back(session: Session, attempt: Attempt) -> None:
    """The password was not looked at: it was no guess."""
    for bucket in _locked(session, attempt):
        bucket.level = max(0.0, bucket.level - 1)


def forget(session: Session, key: bytes, email: str) -> None:
    """Delete what was counted of an e-mail address: its account is erased."""
    of_email = _of_email(key, email)
    session.execute(
        delete(SignInBucket).where(
            SignInBucket.key.between(of_email, of_email + b"\xff" * _KEY_BYTES)
        )
    )


def _count(session: Session, keys: dict[str, bytes], now: datetime) -> Attempt | Throttled:
    _forget_old(session, now)
    attempt = Attempt(keys)
    fresh = [{"key": key, "level": 0.0, "updated_at": now} for key in sorted(keys.values())]
    session.execute(insert(SignInBucket).values(fresh).on_conflict_do_nothing())
    by_key = {bucket.key: bucket for bucket in _locked(session, attempt)}
    known = PAIR in keys and _is_known(by_key[keys[PAIR]], now)
    wait_s = 0
    for kind, key in keys.items():
        stored = by_key[key]
        elapsed_s = (now - stored.updated_at).total_seconds()
        stored.level = BUCKETS[kind].level(stored.level, elapsed_s)
        stored.updated_at = max(now, stored.updated_at)
        if not known or kind == PAIR:
            wait_s = max(wait_s, BUCKETS[kind].wait_s(stored.level))
    if wait_s:
        return Throttled(wait_s)
    for stored in by_key.values():
        stored.level += 1
    return attempt


def _locked(session: Session, attempt: Attempt) -> list[SignInBucket]:
    """The attempt's rows, locked in the order of their keys so that no two attempts deadlock."""
    statement = select(SignInBucket).where(SignInBucket.key.in_(attempt.keys.values()))
    statement = statement.order_by(SignInBucket.key).with_for_update()
    return list(session.scalars(statement.execution_options(populate_existing=True)))


def _is_known(pair: SignInBucket, now: datetime) -> bool:
    return pair.succeeded_at is not None and now - pair.succeeded_at < KNOWN_FOR


def _forget_old(session: Session, now: datetime) -> None:
    """Drop a few rows that can matter no more, so that the table stays small by itself."""
    old = (
        select(SignInBucket.key)
        .where(SignInBucket.updated_at < now - KNOWN_FOR)
        .limit(10)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(SignInBucket).where(SignInBucket.key.in_(old)))


def _of_email(key: bytes, email: str) -> bytes:
    return _key(key, EMAIL, addresses.key(email))


def _key(key: bytes, kind: str, value: str) -> bytes:
    return blake2b(f"{kind}\0{value}".encode(), key=key, digest_size=_KEY_BYTES).digest()


def network(address: str) -> str:
    """The address, or for IPv6 its /64: one customer holds all of that."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped else str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
