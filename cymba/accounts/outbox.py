"""The outbox: a mail is written with what calls for it, and leaves after the commit.

So no mail tells of what was rolled back, and none is lost because the mail server was away. A
sender that is killed between sending and committing sends once more, which is the lesser evil.
"""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import OutgoingMail

FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=6)
MAX_TRIES = 12


def enqueue(
    session: Session, *, account_id: UUID | None, recipient: str, subject: str, body: str
) -> None:
    session.add(
        OutgoingMail(account_id=account_id, recipient=recipient, subject=subject, body=body)
    )


def due(session: Session, *, now: datetime, limit: int, but: Collection[UUID] = ()) -> list[UUID]:
    """Mails to send now."""
    query = select(OutgoingMail.id).where(_is_due(now), OutgoingMail.id.not_in(but))
    return list(session.scalars(query.order_by(OutgoingMail.next_try_at).limit(limit)))


def take(session: Session, mail_id: UUID, *, now: datetime) -> OutgoingMail | None:
    """The mail, locked until the transaction ends; None if another sender has it or had it."""
    query = select(OutgoingMail).where(_is_due(now), OutgoingMail.id == mail_id)
    return session.scalar(query.with_for_update(skip_locked=True))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(
        OutgoingMail.sent_at.is_(None),
        OutgoingMail.next_try_at <= now,
        OutgoingMail.tries < MAX_TRIES,
    )


def sent(mail: OutgoingMail, *, now: datetime) -> None:
    """The words have done their work: what is kept is that a mail was sent."""
    mail.sent_at, mail.body = now, ""
    mail.tries += 1


def failed(mail: OutgoingMail, *, now: datetime) -> None:
    mail.tries += 1
    wait = min(LAST_RETRY, FIRST_RETRY * 2 ** (mail.tries - 1))
    mail.next_try_at = now + wait * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
