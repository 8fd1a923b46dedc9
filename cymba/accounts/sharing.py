"""Read-only shares for a clinician or a caregiver: scoped, expiring, revocable."""

import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cymba.accounts import addresses, letters
from cymba.accounts.audit import Actor, note, note_own
from cymba.accounts.tables import Account, Share
from cymba.errors import Forbidden, NotFound, Rejected, Unauthenticated

SCOPES = ("sessions", "diary", "insights")
TOKEN_PREFIX = "share_"  # noqa: S105 - a prefix, not a secret; access tokens have none
LONGEST = timedelta(days=365)


def create(
    session: Session,
    account_id: UUID,
    *,
    label: str,
    scopes: Collection[str],
    expires_at: datetime,
    clinician_email: str | None = None,
    now: datetime,
) -> tuple[Share, str]:
    """A new share and its token, which is shown this once and never again.

    Raises:
        Rejected: a scope is unknown, or the expiry is past or more than a year away.
    """
    errors = []
    if not scopes or not set(scopes) <= set(SCOPES):
        errors.append({"pointer": "/scopes", "detail": f"must be some of {', '.join(SCOPES)}"})
    if not now < expires_at <= now + LONGEST:
        errors.append({"pointer": "/expires_at", "detail": "must be within a year from now"})
    if errors:
        raise Rejected("The share cannot be made like this.", code="validation", errors=errors)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    share = Share(
        account_id=account_id,
        label=label,
        scopes=sorted(set(scopes)),
        token_hash=_hash(token),
        clinician_email=addresses.key(clinician_email) if clinician_email else None,
        expires_at=expires_at,
    )
    session.add(share)
    session.flush()
    note_own(session, account_id, "share.created", share=str(share.id), scopes=share.scopes)
    letters.notify(session, account_id, letters.SHARED)
    return share, token


def open_share(
    session: Session, token: str, scope: str, *, viewer: Account | None, now: datetime
) -> Share:
    """The share that a token opens for this viewer (None: nobody is signed in) to look at `scope`.
    Each look is in the audit log of the person who shares.

    Raises:
        Unauthenticated: unknown, expired, revoked, or meant for a clinician who is not the viewer;
            all look the same.
        Forbidden: the share does not reach as far as `scope`.
    """
    share = session.scalar(select(Share).where(Share.token_hash == _hash(token)))
    if share is None or share.revoked_at is not None or share.expires_at <= now:
        raise _not_good()
    if share.clinician_email is not None and not (
        viewer is not None
        and viewer.role == "clinician"
        and viewer.email_key == addresses.key(share.clinician_email)
    ):
        raise _not_good()
    if scope not in share.scopes:
        raise Forbidden("A share does not reach as far as this.", code="share-scope")
    by = {} if viewer is None else {"clinician": str(viewer.id)}
    note(session, share.account_id, Actor("share", str(share.id)), f"{scope}.read", **by)
    return share


def mine(session: Session, account_id: UUID) -> list[Share]:
    query = select(Share).where(Share.account_id == account_id)
    return list(session.scalars(query.order_by(Share.created_at.desc(), Share.id)))


def revoke(session: Session, account_id: UUID, share_id: UUID, *, now: datetime) -> Share:
    """End a share at once; `NotFound` if it is not the account's."""
    share = session.get(Share, share_id)
    if share is None or share.account_id != account_id:
        raise NotFound("There is no such share.")
    if share.revoked_at is None:
        share.revoked_at = now
        session.flush()
        note_own(session, account_id, "share.revoked", share=str(share.id))
    return share


def revoke_all(session: Session, account_id: UUID, *, now: datetime) -> None:
    session.execute(
        update(Share)
        .where(Share.account_id == account_id, Share.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def _not_good() -> Unauthenticated:
    return Unauthenticated("This share is not good any more, or not for you.")


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
