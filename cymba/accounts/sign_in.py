"""Signing in: by a verified password, or at a provider."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts import letters, oidc, throttle, tokens
from cymba.accounts.audit import note_own
from cymba.accounts.profile import renew
from cymba.accounts.providers import Provider
from cymba.accounts.tables import Account
from cymba.accounts.tokens import Signer, TokenPair


def sign_in_by_password(
    session: Session,
    signer: Signer,
    verified: Account,
    *,
    renewed_hash: str | None,
    attempt: throttle.SignInAttempt,
    now: datetime,
) -> TokenPair | None:
    """Sign in to an account whose password was verified outside of any transaction, because that
    takes a tenth of a second. None: meanwhile the account was removed or its password changed."""
    # Whoever changes the password or the address waits until this sign-in can be ended too. `renew`
    # changes an account without a key: two sign-ins that only shared it would block each other.
    held = True if verified.email_key is None else {"read": True, "key_share": True}
    account = session.get(Account, verified.id, with_for_update=held, populate_existing=True)
    if account is None or account.password_hash != verified.password_hash:
        return None
    throttle.count_right(session, attempt, now)
    renew(session, account, renewed_hash)
    pair = tokens.sign_in(session, signer, account.id, now)
    note_own(session, account.id, "account.signed_in")
    return pair


def sign_in_by_provider(
    session: Session,
    signer: Signer,
    provider: Provider,
    claims: Mapping[str, Any],
    *,
    link_to: UUID | None,
    locale: str,
    now: datetime,
) -> TokenPair:
    """Sign in with the provider's claims; `link_to` is an account to link the provider to, and
    `locale` is for a new one.

    Raises:
        Conflict, Rejected: as `oidc.account_for`.
    """
    account_id = oidc.account_for(session, provider, claims, link_to=link_to, locale=locale)
    pair = tokens.sign_in(session, signer, account_id, now)
    if link_to is not None:
        note_own(session, account_id, "identity.linked", provider=provider.issuer)
        letters.notify(session, account_id, letters.LINKED)
    note_own(session, account_id, "account.signed_in", provider=provider.issuer)
    return pair
