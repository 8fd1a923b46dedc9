"""Signing in with an OpenID Connect provider: in a browser by authorization code with PKCE (RFC
7636), or on the phone itself, whose ID token is exchanged.

A provider that names the e-mail address of an existing account never opens it: only its owner, who
is signed in, can link the provider.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cymba.accounts.addresses import key
from cymba.accounts.hashing import hashed
from cymba.accounts.profile import enter, find_by_email, parse_email, verify_email
from cymba.accounts.providers import Provider, refused
from cymba.accounts.tables import Account, OidcFlow, ProviderIdentity
from cymba.database import utc_now
from cymba.errors import Conflict, Rejected

FLOW_LIFETIME = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the person (None: their phone asks them itself), the state that the app must
    see come back, and the nonce of an ID token."""

    authorization_url: str | None
    state: str
    nonce: str


def begin(session: Session, provider: Provider, *, account_id: UUID | None, now: datetime) -> Begun:
    """Begin a sign-in; with an account, the linking of the provider to it.

    Raises:
        ProviderUnavailable.
    """
    session.execute(delete(OidcFlow).where(OidcFlow.expires_at < now))
    state, nonce, verifier = (secrets.token_urlsafe(size) for size in (32, 24, 64))
    url = provider.authorization_url(state=state, nonce=nonce, code_verifier=verifier)
    session.add(
        OidcFlow(
            state_hash=hashed(state),
            provider=provider.name,
            nonce=nonce,
            code_verifier=verifier,
            account_id=account_id,
            expires_at=now + FLOW_LIFETIME,
        )
    )
    session.flush()
    return Begun(url, state, nonce)


def take_flow(session: Session, provider: Provider, state: str, *, now: datetime) -> OidcFlow:
    """The flow of the state, which does not come back again. Commit before the code is redeemed,
    and then `end_flow`.

    Raises:
        Unauthenticated: there is none, it came back before, it took too long, or it was begun with
            another provider.
    """
    flow = session.scalars(
        update(OidcFlow)
        .where(OidcFlow.state_hash == hashed(state), OidcFlow.provider == provider.name)
        .values(state_hash=_taken(state))
        .returning(OidcFlow)
    ).one_or_none()
    if flow is None or flow.expires_at <= now:
        raise refused()
    return flow


def end_flow(session: Session, state: str, *, account_id: UUID | None) -> None:
    """Remove a flow that was taken, in the transaction that signs in or links.

    Raises:
        Unauthenticated: what the account had begun was ended while the code was redeemed: by a new
            password, say.
    """
    if account_id is not None:  # the account first, as whoever abandons its links
        _hold(session, account_id)
    gone = delete(OidcFlow).where(OidcFlow.state_hash == _taken(state))
    if session.execute(gone.returning(OidcFlow.expires_at)).one_or_none() is None:
        raise refused()


def abandon_links(session: Session, account_id: UUID) -> None:
    """End all linkings of the account that were begun."""
    session.execute(delete(OidcFlow).where(OidcFlow.account_id == account_id))


def account_for(
    session: Session,
    provider: Provider,
    claims: Mapping[str, Any],
    *,
    link_to: UUID | None,
    locale: str = "en",
) -> UUID:
    """The account of the provider's person: known, linked now, or new, and then of `locale`.

    Raises:
        Conflict: the provider's person has another account, or their e-mail address has one that
            is not linked.
        Rejected: the provider vouches for no e-mail address; or the account's own was never
            confirmed.
    """
    known_as = (provider.issuer, str(claims["sub"]))
    identity = session.get(ProviderIdentity, known_as)
    if identity is not None:
        # Unlinking locks the account. Read the identity again after it, or it would still open.
        _hold(session, identity.account_id)
        session.expunge(identity)
        identity = session.get(ProviderIdentity, known_as)
    if identity is not None:
        if link_to is not None and identity.account_id != link_to:
            raise Conflict("This sign-in opens another account.", code="identity-taken")
        return identity.account_id
    if link_to is not None:
        _require_verified(session, link_to, claims)
    account_id = link_to or _new_account(session, claims, locale)
    session.add(ProviderIdentity(issuer=known_as[0], subject=known_as[1], account_id=account_id))
    session.flush()
    return account_id


def _hold(session: Session, account_id: UUID) -> None:
    """Keep others from changing how the account is opened, and wait for those who do."""
    account = select(Account.id).where(Account.id == account_id)
    session.execute(account.with_for_update(read=True, key_share=True))


def _new_account(session: Session, claims: Mapping[str, Any], locale: str) -> UUID:
    email = _vouched_email(claims)
    if email is None:
        raise Rejected("The provider vouches for no e-mail address.", code="email-not-verified")
    email = parse_email(email, pointer="")
    if find_by_email(session, email) is not None:
        raise Conflict(
            "This e-mail address has an account: sign in to it, and link the provider there.",
            code="email-taken",
        )
    return enter(session, email, locale=locale, email_verified_at=utc_now()).id


def _require_verified(session: Session, account_id: UUID, claims: Mapping[str, Any]) -> None:
    """Nobody may make an account with another's address and keep a way in by a provider."""
    account, email = session.get_one(Account, account_id), _vouched_email(claims)
    if email is not None and account.email_key == key(email):
        verify_email(account, utc_now())
    if account.email_verified_at is None:
        raise Rejected(
            "Confirm the account's own e-mail address first: ask for a code with "
            "`POST /v1/account/email`, and enter it.",
            code="email-not-verified",
        )


def _vouched_email(claims: Mapping[str, Any]) -> str | None:
    """The person's address, if the provider says that it is theirs."""
    email, said = claims.get("email"), claims.get("email_verified")
    is_verified = said is True or said == "true"  # Apple has written it as a text
    return email if isinstance(email, str) and is_verified else None


def _taken(state: str) -> bytes:
    return sha256(hashed(state)).digest()
