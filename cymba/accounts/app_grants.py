"""Letting an app in: a share that the app holds, from its code to its last token.

The person's yes makes the share and a code (RFC 6749, section 4.1). The app trades the code in for
tokens within a minute; until then the share ends with the code. A code that comes again may be
stolen, so the share ends at once, and with it all that came of the code. So it is with a refresh
token that was spent, but for a short while, as with the API's own (`tokens`).

Tokens are signed and name the share. Whether it has ended is read from the database at each use, so
one place decides over all of them.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts import app_scopes, letters, sharing
from cymba.accounts.app_tables import AppClient, AppGrant
from cymba.accounts.audit import Actor, note, note_own
from cymba.accounts.hashing import hashed
from cymba.accounts.tables import Share
from cymba.errors import Forbidden, NotFound, Rejected, Unauthenticated

TOKEN_PREFIX = "app_"  # noqa: S105 - a prefix, not a secret
SHARE_SCOPE = "app"  # of the share itself; what it opens is in `AppGrant.scopes`
CODE_LIFETIME = timedelta(minutes=1)
ACCESS_LIFETIME = timedelta(hours=1)

_ALGORITHM = "HS256"
_ISSUER = "cymba apps"


@dataclass(frozen=True, slots=True)
class AppSigner:
    """What it takes to make and check the tokens of apps. Its key signs nothing else."""

    key: OctKey
    retry_lifetime: timedelta  # how long a spent refresh token may come again after a lost answer


class AppTokens(NamedTuple):
    access_token: str
    access_expires_in_s: int
    refresh_token: str | None  # none: the app may read as long as its access token is good
    scopes: tuple[str, ...]
    account_id: UUID


class HeldGrant(NamedTuple):
    """An app's share, its row locked until the transaction ends."""

    grant: AppGrant
    share: Share


class HeldByRefresh(NamedTuple):
    held: HeldGrant
    number: int  # of the refresh token


class AppAccess(NamedTuple):
    """The content of an access token whose signature is good."""

    share_id: UUID
    scopes: tuple[str, ...]


class AppTokenReused:
    """A spent refresh token came again. It may be stolen, so the share was ended."""


def allow(
    session: Session,
    account_id: UUID,
    client: AppClient,
    *,
    scopes: Sequence[str],
    asked: Sequence[str],
    redirect_uri: str,
    code_challenge: str,
    until: datetime | None,
    now: datetime,
) -> str:
    """The person lets the app read what `scopes` name, of those that it `asked` for; its code.

    Raises:
        Rejected: a scope was not asked for, none opens anything, or the end does not fit.
        NotFound: the client was removed meanwhile.
    """
    chosen = [one for one in asked if one in scopes]
    errors = []
    if len(chosen) < len(set(scopes)) or not any(map(app_scopes.opens_data, chosen)):
        detail = "must be some of what the app asks for, and open something"
        errors.append({"pointer": "/scopes", "detail": detail})
    is_kept = app_scopes.OFFLINE in chosen
    if is_kept and (problem := sharing.expiry_problem(until, now)):
        errors.append({"pointer": "/expires_at", "detail": problem})
    if errors:
        raise Rejected("The app cannot be let in like this.", code="validation", errors=errors)
    session.refresh(client, with_for_update={"read": True})
    if client.removed_at is not None:
        raise NotFound("This app is not known here.")
    code = secrets.token_urlsafe(32)
    share = Share(
        account_id=account_id,
        label=client.name,
        scopes=[SHARE_SCOPE],
        token_hash=secrets.token_bytes(32),  # of no token
        expires_at=now + CODE_LIFETIME,
    )
    session.add(share)
    session.flush()
    session.add(
        AppGrant(
            share_id=share.id,
            client_id=client.id,
            scopes=chosen,
            code_hash=hashed(code),
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            until=until if is_kept else None,
        )
    )
    session.flush()
    note_own(session, account_id, "app.allowed", share=str(share.id), scopes=chosen)
    letters.notify(session, account_id, letters.APP_ALLOWED)
    return code


def find_by_code(
    session: Session, code: str, client: AppClient, *, now: datetime
) -> AppGrant | None:
    """What a code of the client's is good for. If it was traded in before, its share ends; commit,
    whatever the outcome."""
    query = select(AppGrant).where(
        AppGrant.code_hash == hashed(code), AppGrant.client_id == client.id
    )
    grant = session.scalar(query.with_for_update())
    if grant is None:
        return None
    share = _share_of(session, grant)
    if grant.redeemed_at is not None:
        _end(session, share, "app.code_reused", now)
        return None
    return None if sharing.has_ended(share, now) else grant


def redeem(session: Session, signer: AppSigner, grant: AppGrant, *, now: datetime) -> AppTokens:
    """Trade in a code that `find_by_code` gave."""
    share = _share_of(session, grant)
    grant.redeemed_at = now
    share.expires_at = grant.until or now + ACCESS_LIFETIME
    session.flush()
    note(session, share.account_id, Actor("share", str(share.id)), "app.connected")
    return _tokens(signer, grant, share, grant.scopes, now)


def find_by_refresh_token(
    session: Session, signer: AppSigner, token: str, *, now: datetime
) -> HeldByRefresh | None:
    """The share that a refresh token goes on with, if that is good; maybe the token was spent."""
    claims = _claims(signer, token, "refresh", now)
    if claims is None:
        return None
    held = _hold(session, claims, now)
    return None if held is None else HeldByRefresh(held, int(claims["n"]))


def refresh(
    session: Session,
    signer: AppSigner,
    found: HeldByRefresh,
    *,
    scopes: Sequence[str],
    now: datetime,
) -> AppTokens | AppTokenReused:
    """Spend a refresh token, for an access token that opens `scopes`. Commit whatever the outcome:
    `AppTokenReused` has ended the share."""
    grant, share = found.held
    is_retry = (
        found.number == grant.refresh_number - 1
        and grant.refreshed_at is not None
        and now - grant.refreshed_at < signer.retry_lifetime
    )
    if found.number == grant.refresh_number:
        grant.refresh_number += 1
        grant.refreshed_at = now
        session.flush()
    elif not is_retry:
        _end(session, share, "app.token_reused", now)
        return AppTokenReused()
    return _tokens(signer, grant, share, scopes, now)


def give_back(
    session: Session, signer: AppSigner, token: str, client: AppClient, *, now: datetime
) -> bool:
    """The app wants a token of its own revoked: its share ends. False: it is another app's, and
    nothing changes. What is no token, or is good no more, needs no ending."""
    claims = _claims(signer, token, "refresh", now) or _claims(signer, token, "access", now)
    held = None if claims is None else _hold(session, claims, now)
    if held is None:
        return True
    if held.grant.client_id != client.id:
        return False
    _end(session, held.share, "app.gave_back", now)
    return True


def read_access(signer: AppSigner, token: str, now: datetime) -> AppAccess | None:
    """The token's content, or None if it is forged or has expired."""
    claims = _claims(signer, token, "access", now)
    return (
        None if claims is None else AppAccess(UUID(claims["sub"]), tuple(claims["scope"].split()))
    )


def open_share(
    session: Session,
    access: AppAccess,
    wanted_types: Collection[str],
    interaction: app_scopes.Interaction,
    *,
    now: datetime,
) -> tuple[Share, frozenset[str]]:
    """The share that an app's access token opens, and those of the types of resources that it may
    look at. Each look is in the audit log of the person.

    Raises:
        Unauthenticated: the share has ended.
        Forbidden: the app was not let in so far.
    """
    share = session.get(Share, access.share_id)
    if share is None or sharing.has_ended(share, now):
        raise Unauthenticated("What the app was let in for has ended.")
    opened = frozenset(
        one for one in wanted_types if app_scopes.allow(access.scopes, one, interaction)
    )
    if not opened:
        raise Forbidden("A share does not reach as far as this.", code="share-scope")
    by = Actor("share", str(share.id))
    if len(wanted_types) > 1:
        note(session, share.account_id, by, "record.read", types=sorted(opened))
    else:
        note(session, share.account_id, by, f"{min(opened)}.read")
    return share, opened


class AppHolder(NamedTuple):
    """The app that holds a share, and what it may read."""

    client_id: UUID
    name: str
    scopes: list[str]


def holders(session: Session, account_id: UUID) -> dict[UUID, AppHolder]:
    """The apps that hold the account's shares, by share."""
    rows = session.execute(
        select(AppGrant.share_id, AppClient.id, AppClient.name, AppGrant.scopes)
        .join(Share, Share.id == AppGrant.share_id)
        .join(AppClient, AppClient.id == AppGrant.client_id)
        .where(Share.account_id == account_id)
    )
    return {
        share_id: AppHolder(client_id, name, scopes) for share_id, client_id, name, scopes in rows
    }


def _hold(session: Session, claims: dict[str, Any], now: datetime) -> HeldGrant | None:
    query = select(AppGrant).where(AppGrant.share_id == UUID(claims["sub"]))
    grant = session.scalar(query.with_for_update())
    if grant is None:
        return None
    share = _share_of(session, grant)
    return None if sharing.has_ended(share, now) else HeldGrant(grant, share)


def _share_of(session: Session, grant: AppGrant) -> Share:
    return session.get_one(Share, grant.share_id, populate_existing=True)


def _end(session: Session, share: Share, why: str, now: datetime) -> None:
    if share.revoked_at is None:
        share.revoked_at = now
        session.flush()
        note(session, share.account_id, Actor("share", str(share.id)), why)


def _tokens(
    signer: AppSigner, grant: AppGrant, share: Share, scopes: Sequence[str], now: datetime
) -> AppTokens:
    ends_at = min(now + ACCESS_LIFETIME, share.expires_at)
    access = {"scope": " ".join(scopes), "jti": secrets.token_urlsafe(12)}
    refreshed = None
    if app_scopes.OFFLINE in grant.scopes:
        number = {"n": grant.refresh_number}
        refreshed = _signed(signer, share, "refresh", share.expires_at, number)
    return AppTokens(
        access_token=_signed(signer, share, "access", ends_at, access),
        access_expires_in_s=int((ends_at - now).total_seconds()),
        refresh_token=refreshed,
        scopes=tuple(scopes),
        account_id=share.account_id,
    )


def _signed(
    signer: AppSigner, share: Share, use: str, ends_at: datetime, more: dict[str, Any]
) -> str:
    claims = {"iss": _ISSUER, "use": use, "sub": str(share.id), "exp": int(ends_at.timestamp())}
    return TOKEN_PREFIX + jwt.encode({"alg": _ALGORITHM}, claims | more, signer.key)


def _claims(signer: AppSigner, token: str, use: str, now: datetime) -> dict[str, Any] | None:
    """What a token says, if it is ours, for this use, and has not ended."""
    if not token.startswith(TOKEN_PREFIX):
        return None
    try:
        signed = token.removeprefix(TOKEN_PREFIX)
        claims = jwt.decode(signed, signer.key, algorithms=[_ALGORITHM]).claims
        jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=0,
            iss={"essential": True, "value": _ISSUER},
            use={"essential": True, "value": use},
            sub={"essential": True},
            exp={"essential": True},
        ).validate(claims)
    except (JoseError, ValueError, TypeError, AttributeError):
        return None
    return claims
