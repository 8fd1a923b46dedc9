"""The sign-ins at providers that open an account: listing and unlinking them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid5

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cymba.accounts import oidc, profile, tokens
from cymba.accounts.audit import note_own
from cymba.accounts.tables import ProviderIdentity
from cymba.errors import Conflict, NotFound

_NAMESPACE = UUID("6f9619ff-8b86-4011-b42d-00cf4fc964ff")


def mine(session: Session, account_id: UUID) -> list[ProviderIdentity]:
    """The oldest first."""
    query = select(ProviderIdentity).where(ProviderIdentity.account_id == account_id)
    order = (ProviderIdentity.created_at, ProviderIdentity.issuer, ProviderIdentity.subject)
    return list(session.scalars(query.order_by(*order)))


def unlink_all(session: Session, account_id: UUID) -> None:
    """No provider opens the account any more, until its owner links one again."""
    session.execute(delete(ProviderIdentity).where(ProviderIdentity.account_id == account_id))


def identity_id(identity: ProviderIdentity) -> UUID:
    """Its name in the API: made of issuer and subject, so that an import gives the same."""
    return uuid5(_NAMESPACE, f"{identity.issuer}\0{identity.subject}")


def unlink(
    session: Session,
    account_id: UUID,
    wanted: UUID,
    *,
    issuers: Collection[str],
    keep: UUID,
    now: datetime,
) -> ProviderIdentity:
    """Unlink an identity, so that it no longer opens the account.

    Signs out everywhere but in the family `keep`, since nobody knows which sign-in came from it.
    Linkings that were begun end too. `issuers` are those that people can sign in with now: an
    identity of another one opens nothing.

    Raises:
        NotFound: it is not the account's.
        Conflict: nothing would be left to sign in with.
    """
    account = profile.lock(session, account_id)
    known = mine(session, account_id)
    found = next((one for one in known if identity_id(one) == wanted), None)
    if found is None:
        raise NotFound("There is no such sign-in.")
    others = [one for one in known if one is not found and one.issuer in issuers]
    if found.issuer in issuers and not others and account.password_hash is None:
        raise Conflict(
            "Nothing would be left to sign in with. Set a password first: ask for a new one.",
            code="last-sign-in",
        )
    oidc.abandon_links(session, account_id)
    session.delete(found)
    tokens.sign_out_elsewhere(session, account_id, keep, now)
    session.flush()
    note_own(session, account_id, "identity.unlinked", provider=found.issuer)
    return found
