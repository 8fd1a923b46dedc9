"""The outbox: a mail is written with what calls for it, and leaves after the commit.

So no mail tells of what was rolled back, and none is lost because the mail server was away. A
sender that is killed between sending and committing sends once more, which is the lesser evil.
"""

import random
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
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


def take_due(session: Session, *, now: datetime, limit: int = 20) -> list[OutgoingMail]:
    """Mails to send now, locked until the transaction ends: several senders share the work."""
    query = (
        select(OutgoingMail)
        .where(
            OutgoingMail.sent_at.is_(None),
            OutgoingMail.next_try_at <= now,
            OutgoingMail.tries < MAX_TRIES,
        )
        .order_by(OutgoingMail.next_try_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.scalars(query))


def sent(mail: OutgoingMail, *, now: datetime) -> None:
    """The words have done their work: what is kept is that a mail was sent."""
    mail.sent_at, mail.body = now, ""
    mail.tries += 1


def failed(mail: OutgoingMail, *, now: datetime) -> None:
    mail.tries += 1
    wait = min(LAST_RETRY, FIRST_RETRY * 2 ** (mail.tries - 1))
    mail.next_try_at = now + wait * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
