"""Slowing down those who guess passwords, without locking out the owner.

Wrong guesses fill leaky buckets: one for each pair of e-mail and network address, one for each
address, and one for each e-mail. The last stops a guess spread over many addresses. Where a pair
has signed in lately, its own bucket alone is asked: so nobody can lock the owner out of the places
they sign in from, not even somebody who guesses at other accounts from the same address. An app
that has signed in gets a token for that (`known_device`), by which it is known from any address,
until the account has another password. E-mails and addresses are stored as keyed hashes only.

The buckets are asked before a password is looked at, and a wrong one is counted after that. So a
right one is never counted as a failure, whatever fails in between. Guesses that are made at once
are all asked about before the first is counted: as many as the server looks at together
(`passwords.AT_ONCE`, in each process) may be over the limit, and are waited off like the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts import addresses, rate_limiter, vouchers
from cymba.accounts.rate_limiter import KEY_BYTES, Bucket, make_key
from cymba.accounts.tables import Account, RateLimit, retired_sign_in_bucket

PAIR = "pair"
DEVICE = "device"
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
    DEVICE: Bucket(capacity=5, leak_s=180),  # of an app that has signed in to the account
    ADDRESS: Bucket(capacity=30, leak_s=20),
    EMAIL: Bucket(capacity=50, leak_s=300),
    SIGN_UP: Bucket(capacity=20, leak_s=60),  # of accounts from one address
    RECOVERY: Bucket(capacity=20, leak_s=60),  # of codes asked for or tried from one address
    RECIPIENT: Bucket(capacity=5, leak_s=720),  # of codes that are sent to one e-mail
    PROOF: Bucket(capacity=5, leak_s=180),  # of wrong current passwords that one sign-in gives
    OIDC: Bucket(capacity=30, leak_s=20),  # of sign-ins that one address begins at a provider
    SIGNED_IN: Bucket(capacity=30, leak_s=60),  # of sign-ins with the right password
}
KNOWN_FOR = timedelta(days=90)  # how long a pair that signed in stays known
DEVICE_KNOWN_FOR = timedelta(days=400)  # an app, which says so itself


@dataclass(frozen=True, slots=True)
class Attempt:
    """A guess that may be made. If it is wrong, `count_wrong` counts it."""

    keys: Mapping[str, bytes]  # kind of bucket -> its key


@dataclass(frozen=True, slots=True)
class SignInAttempt(Attempt):
    of_email: bytes
    pair: bytes


@dataclass(frozen=True, slots=True)
class Throttled:
    retry_after_s: int


def make_known_device(key: bytes, account: Account, now: datetime) -> str:
    """What an app that has signed in to the account is known by. It ends with the password."""
    return vouchers.make(key, _about(account), now=now, lifetime=DEVICE_KNOWN_FOR)


def read_known_device(
    key: bytes, account: Account | None, given: str | None, now: datetime
) -> bytes | None:
    """The number of the app that signs in, if the account knows it."""
    if account is None or given is None:
        return None
    return vouchers.number_of(key, _about(account), given, now=now)


def ask_sign_in(
    session: Session,
    key: bytes,
    *,
    email: str,
    address: str,
    device: bytes | None = None,
    now: datetime,
) -> SignInAttempt | Throttled:
    """Whether somebody may try to sign in. A known `device` has its own guesses, and no others'
    keep it out."""
    place = network(address)
    of_email = _of_email(key, email)
    # A pair's key begins with its e-mail's, so that `forget` finds it without the address.
    pair = of_email + make_key(PAIR, f"{addresses.key(email)}\0{place}", key)
    keys = {PAIR: pair, ADDRESS: make_key(ADDRESS, place, key), EMAIL: of_email}
    if device is not None:
        keys = {DEVICE: of_email + make_key(DEVICE, device.hex(), key)}
    # Who signs in all the time is no owner who forgets; only the right password fills this one.
    often = _signed_in(of_email)
    waits_s = rate_limiter.waits_s(session, _buckets(keys | often), now)
    if device is None and _is_known(session, pair, now):
        asked = {pair, *often.values()}
        waits_s = {bucket: wait_s for bucket, wait_s in waits_s.items() if bucket in asked}
    wait_s = max(waits_s.values(), default=0)
    return Throttled(wait_s) if wait_s else SignInAttempt(keys, of_email, pair)


def ask_proof(
    session: Session, key: bytes, *, family_id: UUID, now: datetime
) -> Attempt | Throttled:
    """Whether a sign-in may give the current password. A thief's guesses are counted against the
    sign-in that was stolen, not against the owner's own."""
    keys = {PROOF: make_key(PROOF, str(family_id), key)}
    wait_s = max(rate_limiter.waits_s(session, _buckets(keys), now).values(), default=0)
    return Throttled(wait_s) if wait_s else Attempt(keys)


def count_wrong(session: Session, attempt: Attempt, now: datetime) -> None:
    """The password was wrong."""
    rate_limiter.add(session, _buckets(attempt.keys), now)


def count_right(session: Session, attempt: SignInAttempt, now: datetime) -> None:
    """A sign-in's password was right: know this pair from now on."""
    rate_limiter.add(session, _buckets(_signed_in(attempt.of_email)), now)
    known = {"level": 0.0, "updated_at": now, "succeeded_at": now}
    pair = insert(RateLimit).values(key=attempt.pair, **known)
    session.execute(pair.on_conflict_do_update(index_elements=["key"], set_=known))


def count_sign_up(session: Session, key: bytes, *, address: str, now: datetime) -> Throttled | None:
    """Count one new account from an address."""
    return _count(session, SIGN_UP, make_key(SIGN_UP, network(address), key), now)


def count_recovery(
    session: Session, key: bytes, *, address: str, now: datetime
) -> Throttled | None:
    """Count one code that is asked for or tried from an address."""
    return _count(session, RECOVERY, make_key(RECOVERY, network(address), key), now)


def count_recipient(session: Session, key: bytes, *, email: str, now: datetime) -> Throttled | None:
    """Count one code that is to be sent to an e-mail, whether or not it has an account."""
    of_email = _of_email(key, email)  # which `forget` finds it by
    return _count(session, RECIPIENT, of_email + make_key(RECIPIENT, "", key), now)


def count_oidc(session: Session, key: bytes, *, address: str, now: datetime) -> Throttled | None:
    """Count one sign-in that is begun at a provider from an address."""
    return _count(session, OIDC, make_key(OIDC, network(address), key), now)


def forget(session: Session, key: bytes, email: str) -> None:
    """Delete what was counted of an e-mail address: its account is erased."""
    of_email = _of_email(key, email)
    rate_limiter.forget(session, of_email)
    retired = retired_sign_in_bucket.c.key.between(of_email, of_email + b"\xff" * KEY_BYTES)
    session.execute(delete(retired_sign_in_bucket).where(retired))


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


def _count(session: Session, kind: str, key: bytes, now: datetime) -> Throttled | None:
    wait_s = rate_limiter.count(session, {key: BUCKETS[kind]}, now)
    return Throttled(wait_s) if wait_s else None


def _about(account: Account) -> str:
    return f"{DEVICE}\0{account.id}\0{account.password_hash}"


def _buckets(keys: Mapping[str, bytes]) -> dict[bytes, Bucket]:
    return {key: BUCKETS[kind] for kind, key in keys.items()}


def _signed_in(of_email: bytes) -> dict[str, bytes]:
    return {SIGNED_IN: of_email + SIGNED_IN.encode()}  # which `forget` finds


def _is_known(session: Session, pair: bytes, now: datetime) -> bool:
    at = session.scalar(select(RateLimit.succeeded_at).where(RateLimit.key == pair))
    return at is not None and now - at < KNOWN_FOR


def _of_email(key: bytes, email: str) -> bytes:
    return make_key(EMAIL, addresses.key(email), key)
