"""Access tokens (signed, short) and refresh tokens (stored as hashes, each good for one use).

A refresh token that comes again may be stolen, so its family ends (RFC 9700, section 4.14.2). One
exception spares a phone whose answer was lost on the way, and an app of several processes that
refresh at once: the token that was spent last may come again for a short while, as long as its
successor has not been used. It is then given the same successor. The database holds only hashes,
so a successor is made from the token it follows: HMAC-SHA256 under the server's key.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import psycopg
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy import (
    ColumnElement,
    Uuid,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from cymba.accounts import sharing
from cymba.accounts.hashing import hashed
from cymba.accounts.tables import Account, RefreshToken
from cymba.database import Prepared, columns_of
from cymba.errors import Forbidden, NotFound
from cymba.parts import lies_in_parts

ALGORITHM = "HS256"
ISSUER = "cymba"
PROVED_FOR = timedelta(minutes=10)  # how long a password or a provider's word stays fresh


@dataclass(frozen=True, slots=True)
class Signer:
    """What it takes to make and check tokens."""

    key: OctKey
    access_lifetime: timedelta
    refresh_lifetime: timedelta
    sign_in_lifetime: timedelta  # after it no refresh is possible: the person signs in again
    retry_lifetime: timedelta  # how long a spent refresh token may come again after a lost answer

    @classmethod
    def make(
        cls,
        key: bytes,
        *,
        access_seconds: int,
        refresh_days: int,
        sign_in_days: int,
        retry_seconds: int,
    ) -> "Signer":
        return cls(
            OctKey.import_key(key),
            timedelta(seconds=access_seconds),
            timedelta(days=refresh_days),
            timedelta(days=sign_in_days),
            timedelta(seconds=retry_seconds),
        )


@dataclass(frozen=True, slots=True)
class TokenPair:
    access_token: str
    access_expires_in_s: int
    refresh_token: str
    refresh_expires_at: datetime


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The content of a valid access token: its account, and the sign-in it came from."""

    account_id: UUID
    family_id: UUID
    expires_at_s: int  # since 1970


class Caller(NamedTuple):
    """What every request needs to know about the account that asks."""

    id: UUID
    time_zone: str
    locale: str
    role: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such refresh token, or it is too old or was signed out."""


@dataclass(frozen=True, slots=True)
class Reused:
    """A spent refresh token came again: it may be stolen, so its whole family was revoked."""

    account_id: UUID


def sign_in(session: Session, signer: Signer, account_id: UUID, now: datetime) -> TokenPair:
    """The first pair of a new family. Also deletes expired tokens of the account."""
    session.execute(
        delete(RefreshToken).where(
            RefreshToken.account_id == account_id, RefreshToken.expires_at < now
        )
    )
    token = secrets.token_urlsafe(32)
    stored = RefreshToken(
        account_id=account_id, family_id=uuid4(), proved_at=now, token_hash=hashed(token)
    )
    _store(session, signer, stored, signed_in_at=now, now=now)
    return _pair(signer, token, stored, now)


def prove(session: Session, access: AccessToken, now: datetime) -> None:
    """The sign-in has just given its password again."""
    session.execute(update(RefreshToken).where(_of_sign_in(access)).values(proved_at=now))


def require_proof(session: Session, access: AccessToken, now: datetime) -> None:
    """
    Raises:
        Forbidden: the sign-in has given neither password nor provider's word lately.
    """
    last = select(func.max(RefreshToken.proved_at)).where(_of_sign_in(access))
    proved_at = session.scalars(last).one()
    if proved_at is None or now - proved_at >= PROVED_FOR:
        raise Forbidden(
            "This needs your password once more: give it to `POST /v1/account/proof`, or sign in "
            "anew, and try again.",
            code="reauthentication-required",
        )


def _of_sign_in(access: AccessToken) -> ColumnElement[bool]:
    return and_(
        RefreshToken.account_id == access.account_id, RefreshToken.family_id == access.family_id
    )


def rotate(
    session: Session, signer: Signer, refresh_token: str, now: datetime
) -> TokenPair | Unknown | Reused:
    """Spend a refresh token for a new pair. Commit whatever the outcome: `Reused` has revoked."""
    token_hash = hashed(refresh_token)
    if _lock_holder(session, token_hash) is None:
        return Unknown()
    # The row needs no lock: every change of a family locks its account.
    given = session.scalars(
        select(RefreshToken)
        .where(RefreshToken.token_hash == token_hash)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if given is None or given.revoked_at is not None:
        return Unknown()
    token = _successor_of(signer, refresh_token)
    if given.spent_at is None:
        signed_in_at = given.signed_in_at or given.created_at
        if min(given.expires_at, signed_in_at + signer.sign_in_lifetime) <= now:
            return Unknown()
        successor = RefreshToken(
            account_id=given.account_id,
            family_id=given.family_id,
            proved_at=given.proved_at,
            token_hash=hashed(token),
        )
        _store(session, signer, successor, signed_in_at=signed_in_at, now=now)
        given.spent_at, given.successor_id = now, successor.id
        return _pair(signer, token, successor, now)
    return _again(session, signer, given, token, now)


def sign_out(session: Session, refresh_token: str, now: datetime) -> None:
    """Revoke the token's family; its access tokens end with it. An unknown one changes nothing."""
    _lock_holder(session, hashed(refresh_token))
    family_id = session.scalar(
        select(RefreshToken.family_id).where(RefreshToken.token_hash == hashed(refresh_token))
    )
    if family_id is not None:
        _revoke(session, now, RefreshToken.family_id == family_id)


class SignIn(NamedTuple):
    """A family of tokens that is still good."""

    id: UUID
    signed_in_at: datetime | None  # null: before this was kept
    refreshed_at: datetime


def sign_ins(session: Session, account_id: UUID, now: datetime) -> list[SignIn]:
    """Where the account is signed in, the one used last at the front."""
    refreshed_at = func.max(RefreshToken.created_at)
    rows = session.execute(
        select(RefreshToken.family_id, func.min(RefreshToken.signed_in_at), refreshed_at)
        .where(RefreshToken.account_id == account_id, RefreshToken.revoked_at.is_(None))
        .group_by(RefreshToken.family_id)
        .having(func.max(RefreshToken.expires_at) > now)
        .order_by(refreshed_at.desc(), RefreshToken.family_id)
    )
    return [SignIn(*row) for row in rows]


def end_sign_in(session: Session, account_id: UUID, family_id: UUID, now: datetime) -> None:
    """Sign out one of the account's sign-ins. Lock the account first.

    Raises:
        NotFound: it has no such sign-in (any more).
    """
    if all(one.id != family_id for one in sign_ins(session, account_id, now)):
        raise NotFound("There is no such sign-in.")
    _revoke(
        session, now, RefreshToken.account_id == account_id, RefreshToken.family_id == family_id
    )


def sign_out_elsewhere(session: Session, account_id: UUID, keep: UUID, now: datetime) -> None:
    """Revoke every family of the account but `keep`, and end what apps of others hold. Lock the
    account first."""
    sharing.end_apps(session, account_id, now=now)
    _revoke(session, now, RefreshToken.account_id == account_id, RefreshToken.family_id != keep)


def sign_out_everywhere(session: Session, account_id: UUID, now: datetime) -> None:
    """Revoke every family of the account, and end what apps of others hold. Lock the account
    first."""
    sharing.end_apps(session, account_id, now=now)
    _revoke(session, now, RefreshToken.account_id == account_id)


def read_access(signer: Signer, token: str, now: datetime) -> AccessToken | None:
    """The token's content, or None if it is forged or has expired."""
    seconds = int(now.timestamp())
    try:
        claims = jwt.decode(token, signer.key, algorithms=[ALGORITHM]).claims
        jwt.JWTClaimsRegistry(
            now=seconds,
            leeway=0,
            iss={"essential": True, "value": ISSUER},
            sub={"essential": True},
            fam={"essential": True},
            exp={"essential": True},
        ).validate(claims)
        return AccessToken(UUID(claims["sub"]), UUID(claims["fam"]), int(claims["exp"]))
    except (JoseError, ValueError, TypeError, AttributeError):
        return None


def read_caller(line: psycopg.Connection[Any], access: AccessToken) -> Caller | None:
    """The account of the token, or None if it is gone or the sign-in was revoked."""
    rows = _CALLER.rows(line, account_id=access.account_id, family_id=access.family_id)
    return Caller._make(rows[0]) if rows else None


def caller_of(session: Session, account_id: UUID) -> Caller:
    """The account as a caller, for requests that do not come with its own token."""
    account = session.get_one(Account, account_id)
    return Caller._make(getattr(account, name) for name in Caller._fields)


_ACCOUNT, _TOKEN = Account.__table__.c, RefreshToken.__table__.c
_IS_THERE = _ACCOUNT.id == bindparam("account_id", type_=Uuid())
_HAS_NOT_ENDED = exists().where(
    _TOKEN.account_id == bindparam("account_id", type_=Uuid()),
    _TOKEN.family_id == bindparam("family_id", type_=Uuid()),
    _TOKEN.revoked_at.is_(None),
)
IS_SIGNED_IN: ColumnElement[bool] = and_(exists().where(_IS_THERE), _HAS_NOT_ENDED)
"""Whether an access token's account and family are still good, for a statement that reads more."""
MAY_READ: ColumnElement[bool] = or_(bindparam("family_id", type_=Uuid()).is_(None), IS_SIGNED_IN)
"""The same; without a family (null) the caller has checked before."""

# Every request begins with this query.
_CALLER = Prepared(select(*columns_of(Account, Caller)).where(_IS_THERE, _HAS_NOT_ENDED))


def _store(
    session: Session, signer: Signer, token: RefreshToken, *, signed_in_at: datetime, now: datetime
) -> None:
    """Give the token its end and its id."""
    token.signed_in_at = signed_in_at
    token.expires_at = min(now + signer.refresh_lifetime, signed_in_at + signer.sign_in_lifetime)
    session.add(token)
    session.flush()


def _pair(signer: Signer, token: str, stored: RefreshToken, now: datetime) -> TokenPair:
    """A refresh token with a new access token of its sign-in."""
    issued_s = int(now.timestamp())
    lifetime_s = int(signer.access_lifetime.total_seconds())
    claims = {
        "iss": ISSUER,
        "sub": str(stored.account_id),
        "fam": str(stored.family_id),
        "iat": issued_s,
        "exp": issued_s + lifetime_s,
        "jti": secrets.token_urlsafe(12),
    }
    return TokenPair(
        access_token=jwt.encode({"alg": ALGORITHM}, claims, signer.key),
        access_expires_in_s=lifetime_s,
        refresh_token=token,
        refresh_expires_at=stored.expires_at,
    )


def _successor_of(signer: Signer, token: str) -> str:
    digest = hmac.digest(signer.key.raw_value, b"refresh token after " + token.encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def _again(
    session: Session, signer: Signer, spent: RefreshToken, token: str, now: datetime
) -> TokenPair | Unknown | Reused:
    """`spent` has come again: give its successor `token` again, if that may still be."""
    in_time = spent.spent_at is not None and now - spent.spent_at < signer.retry_lifetime
    successor = (
        session.get(RefreshToken, spent.successor_id, populate_existing=True)
        if spent.successor_id
        else None
    )
    if not in_time or successor is None or successor.spent_at is not None:
        _revoke(session, now, RefreshToken.family_id == spent.family_id)
        return Reused(spent.account_id)
    if successor.token_hash != hashed(token):
        return Unknown()  # the server's key has changed since: nobody can make that token again
    return _pair(signer, token, successor, now)


def _lock_holder(session: Session, token_hash: bytes) -> UUID | None:
    """Lock the account of a refresh token; None if there is no such token.

    Without the lock, a refresh that commits while its family is being revoked would leave a valid
    token behind.
    """
    whose = select(RefreshToken.account_id).where(RefreshToken.token_hash == token_hash)
    is_whose = Account.id == whose.scalar_subquery()
    if lies_in_parts(session):  # Citus locks a row only where it knows beforehand which
        account_id = session.scalar(whose)
        if account_id is None:
            return None
        is_whose = Account.id == account_id
    return session.scalar(select(Account.id).where(is_whose).with_for_update(key_share=True))


def _revoke(session: Session, now: datetime, *whose: ColumnElement[bool]) -> None:
    session.execute(
        update(RefreshToken).where(*whose, RefreshToken.revoked_at.is_(None)).values(revoked_at=now)
    )
