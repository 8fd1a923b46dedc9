"""Read-only shares for a clinician or a caregiver: scoped, expiring, revocable."""

import secrets
from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from cymba.accounts import addresses, letters
from cymba.accounts.app_tables import AppGrant
from cymba.accounts.audit import Actor, note, note_own
from cymba.accounts.hashing import hashed
from cymba.accounts.tables import Account, Share, ShareHolder
from cymba.errors import Conflict, Forbidden, NotFound, Rejected, Unauthenticated
from cymba.voice import said

SCOPES = ("sessions", "diary", "insights", "report")
TOKEN_PREFIX = "share_"  # noqa: S105 - a prefix, not a secret; access tokens have none
LONGEST = timedelta(days=365)
MOST_HOLDERS = 20


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
        errors.append(
            {
                "pointer": "/scopes",
                "detail": said("must be some of {names}", names=", ".join(SCOPES)),
            }
        )
    if problem := expiry_problem(expires_at, now):
        errors.append({"pointer": "/expires_at", "detail": problem})
    if errors:
        raise Rejected("The share cannot be made like this.", code="validation", errors=errors)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    share = Share(
        account_id=account_id,
        label=label,
        scopes=sorted(set(scopes)),
        token_hash=hashed(token),
        clinician_email=addresses.key(clinician_email) if clinician_email else None,
        expires_at=expires_at,
    )
    session.add(share)
    session.flush()
    note_own(session, account_id, "share.created", share=str(share.id), scopes=share.scopes)
    letters.notify(session, account_id, letters.SHARED)
    return share, token


def expiry_problem(expires_at: datetime | None, now: datetime) -> str | None:
    """Why a share cannot end then; None: it can."""
    fits = expires_at is not None and now < expires_at <= now + LONGEST
    return None if fits else "must be within a year from now"


def open_share(
    session: Session,
    named: str,
    scopes: Collection[str],
    *,
    viewer: Account | None,
    now: datetime,
) -> Share:
    """The share that `named`, a token, opens for this viewer (None: nobody is signed in) to look at
    those of `scopes` that it has, or at itself (none). A viewer who keeps it with their account may
    give its id instead. Each look is in the audit log of the person who shares.

    Raises:
        Unauthenticated: unknown, expired, revoked, or meant for a clinician who is not the viewer;
            all look the same.
        Forbidden: the share has none of `scopes`.
    """
    share = _find(session, named, viewer)
    if share is None or not _is_good(share, viewer, now):
        raise Unauthenticated("This share is not good any more, or not for you.")
    opened = [scope for scope in scopes if scope in share.scopes]
    if scopes and not opened:
        raise Forbidden("A share does not reach as far as this.", code="share-scope")
    for look in opened or ["share"]:
        _note_look(session, share, f"{look}.read", viewer)
    return share


def attach(session: Session, viewer: Account, token: str, *, now: datetime) -> tuple[Share, bool]:
    """Keep a share with the viewer's account; and whether that is new. Idempotent.

    Raises:
        NotFound: what `open_share` refuses.
        Rejected: it is the viewer's own. Conflict: too many accounts keep it.
    """
    share = _find(session, token, viewer)
    if share is None or not _is_good(share, viewer, now):
        raise NotFound("This share is not good any more, or not for you.")
    if share.account_id == viewer.id:
        raise Rejected("It is your own: there is nothing to keep.")
    session.execute(select(Share.id).where(Share.id == share.id).with_for_update())
    holders = set(
        session.scalars(select(ShareHolder.account_id).where(ShareHolder.share_id == share.id))
    )
    if viewer.id in holders:
        return share, False
    if len(holders) >= MOST_HOLDERS:
        raise Conflict("Too many accounts keep this share already. Ask for one of your own.")
    session.add(ShareHolder(share_id=share.id, account_id=viewer.id, attached_at=now))
    session.flush()
    _note_look(session, share, "share.attached", viewer)
    note_own(session, viewer.id, "share.received", share=str(share.id))
    return share, True


def detach(session: Session, viewer: Account, share_id: UUID) -> None:
    """Keep it no longer.

    Raises:
        NotFound: the account keeps no such share.
    """
    kept = session.get(ShareHolder, (share_id, viewer.id))
    if kept is None:
        raise NotFound("There is no such share.")
    session.delete(kept)
    _note_look(session, session.get_one(Share, share_id), "share.detached", viewer)


class Received(NamedTuple):
    share: Share
    from_name: str  # whose it is, as their account says; may be empty
    attached_at: datetime | None  # null: the viewer has its token alone


def received(session: Session, viewer: Account, *, now: datetime) -> list[Received]:
    """The shares that the account keeps and that are good, the one attached last first."""
    rows = session.execute(
        select(Share, Account.name, ShareHolder.attached_at)
        .join(ShareHolder, ShareHolder.share_id == Share.id)
        .join(Account, Account.id == Share.account_id)
        .where(ShareHolder.account_id == viewer.id)
        .order_by(ShareHolder.attached_at.desc(), Share.id)
    )
    return [Received(*row) for row in rows if _is_good(row[0], viewer, now)]


def as_received(session: Session, share: Share, viewer: Account | None) -> Received:
    """What one share opens, for who holds it."""
    name = session.get_one(Account, share.account_id).name
    kept = viewer and session.get(ShareHolder, (share.id, viewer.id))
    return Received(share, name, kept.attached_at if kept else None)


class Holder(NamedTuple):
    name: str
    email: str
    attached_at: datetime


def holders(session: Session, account_id: UUID) -> dict[UUID, list[Holder]]:
    """Who keeps the account's shares, by share, the first one first."""
    found: dict[UUID, list[Holder]] = defaultdict(list)
    rows = session.execute(
        select(ShareHolder.share_id, Account.name, Account.email, ShareHolder.attached_at)
        .join(Share, Share.id == ShareHolder.share_id)
        .join(Account, Account.id == ShareHolder.account_id)
        .where(Share.account_id == account_id)
        .order_by(ShareHolder.attached_at, Account.id)
    )
    for share_id, name, email, attached_at in rows:
        found[share_id].append(Holder(name, email, attached_at))
    return found


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
    end(session, Share.account_id == account_id, now=now)


def end_apps(session: Session, account_id: UUID, *, now: datetime) -> None:
    """End the shares that apps of others hold."""
    held = select(AppGrant.share_id)
    end(session, Share.account_id == account_id, Share.id.in_(held), now=now)


def end(session: Session, *which: ColumnElement[bool], now: datetime) -> int:
    """End those that nobody has ended; how many those were."""
    ended = session.execute(
        update(Share)
        .where(*which, Share.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Share.id)
    )
    return len(ended.all())


def has_ended(share: Share, now: datetime) -> bool:
    return share.revoked_at is not None or share.expires_at <= now


def _find(session: Session, named: str, viewer: Account | None) -> Share | None:
    if named.startswith(TOKEN_PREFIX):
        return session.scalar(select(Share).where(Share.token_hash == hashed(named)))
    try:
        share_id = UUID(named)
    except ValueError:
        return None
    keeps = viewer is not None and session.get(ShareHolder, (share_id, viewer.id)) is not None
    return session.get(Share, share_id) if keeps else None


def _is_good(share: Share, viewer: Account | None, now: datetime) -> bool:
    if has_ended(share, now):
        return False
    return share.clinician_email is None or (
        viewer is not None
        and viewer.role == "clinician"
        and viewer.email_key == addresses.key(share.clinician_email)
    )


def _note_look(session: Session, share: Share, action: str, viewer: Account | None) -> None:
    by = {} if viewer is None else {"clinician": str(viewer.id)}
    note(session, share.account_id, Actor("share", str(share.id)), action, **by)
