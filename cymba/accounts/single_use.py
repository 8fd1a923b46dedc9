"""Codes that are valid for one purpose, once, for a while: sent by mail, or given to an app."""

import secrets
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, delete, or_, select, true, update
from sqlalchemy.orm import Session

from cymba.accounts.hashing import hashed
from cymba.accounts.tables import Account, SingleUseToken

Purpose = Literal["password-reset", "email-change", "live-ticket"]

LIFETIME = timedelta(hours=1)


def make(
    session: Session,
    account_id: UUID,
    purpose: Purpose,
    *,
    payload: str | None = None,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    alone: bool = True,
) -> str:
    """A new code. If `alone`, an earlier one of the same account and purpose becomes invalid."""
    of_purpose = (SingleUseToken.account_id == account_id, SingleUseToken.purpose == purpose)
    dead = or_(SingleUseToken.used_at.is_not(None), SingleUseToken.expires_at <= now)
    session.execute(delete(SingleUseToken).where(*of_purpose, true() if alone else dead))
    token = secrets.token_urlsafe(32)
    session.add(
        SingleUseToken(
            token_hash=hashed(token),
            account_id=account_id,
            purpose=purpose,
            payload=payload,
            expires_at=now + lifetime,
        )
    )
    session.flush()
    return token


def account_of(session: Session, token: str, purpose: Purpose, *, now: datetime) -> Account | None:
    """The code's account, if `spend` would accept the code."""
    query = select(Account).join(SingleUseToken, SingleUseToken.account_id == Account.id)
    return session.scalars(query.where(*_good(token, purpose, now))).one_or_none()


def spend(
    session: Session, token: str, purpose: Purpose, *, now: datetime
) -> SingleUseToken | None:
    """Use the code up; None if it is unknown, used, too old or for another purpose."""
    return session.scalars(
        update(SingleUseToken)
        .where(*_good(token, purpose, now))
        .values(used_at=now)
        .returning(SingleUseToken)
    ).one_or_none()


def withdraw(session: Session, account_id: UUID) -> None:
    """Make all codes that were sent to the account invalid."""
    session.execute(
        delete(SingleUseToken).where(
            SingleUseToken.account_id == account_id, SingleUseToken.used_at.is_(None)
        )
    )


def _good(token: str, purpose: Purpose, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        SingleUseToken.token_hash == hashed(token),
        SingleUseToken.purpose == purpose,
        SingleUseToken.used_at.is_(None),
        SingleUseToken.expires_at > now,
    )
