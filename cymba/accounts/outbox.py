"""The outbox: a mail is stored in the transaction of its cause, and sent after the commit.

So there is no mail about what was rolled back, and none is lost while the mail server is away. A
sender that is killed between sending and committing sends the mail again.
"""

import random
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, text
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


def due(
    session: Session, *, now: datetime, limit: int, each: int, but: Collection[UUID] = ()
) -> list[UUID]:
    """Mails to send now, those that waited longest first. Each recipient's first comes before
    anybody's second, and no more than `each` go to one."""
    values = {"now": now, "limit": limit, "each": each, "aside": list(but)}
    return list(session.scalars(_DUE, values))


def take(session: Session, mail_id: UUID, *, now: datetime) -> OutgoingMail | None:
    """The mail, locked until the transaction ends; None if another sender has it or had it."""
    query = select(OutgoingMail).where(_is_due(now), OutgoingMail.id == mail_id)
    return session.scalar(query.with_for_update(skip_locked=True))


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(
        OutgoingMail.sent_at.is_(None),
        or_(OutgoingMail.next_try_at <= now, OutgoingMail.tries == 0),
        OutgoingMail.tries < MAX_TRIES,
    )


def sent(mail: OutgoingMail, *, now: datetime) -> None:
    """Only the fact that a mail was sent is kept, without its body."""
    mail.sent_at, mail.body = now, ""
    mail.tries += 1


def failed(mail: OutgoingMail, *, now: datetime) -> None:
    mail.tries += 1
    wait = min(LAST_RETRY, FIRST_RETRY * 2 ** (mail.tries - 1))
    mail.next_try_at = now + wait * random.uniform(0.8, 1.2)  # noqa: S311 - jitter


# Each recipient is one step in the index, and no more than its share is read. The literal is
# MAX_TRIES, as in the index.
_WAITING = "o.sent_at IS NULL AND o.tries < 12"
# A new mail is due whatever its time says: the database's clock may be ahead of the sender's.
DUE_NOW = f"{_WAITING} AND (o.next_try_at <= :now OR o.tries = 0)"
_DUE = text(
    f"""
    WITH RECURSIVE step AS (
      (SELECT o.recipient FROM outgoing_mail AS o WHERE {_WAITING} ORDER BY o.recipient LIMIT 1)
      UNION ALL
      SELECT (SELECT o.recipient FROM outgoing_mail AS o
              WHERE {_WAITING} AND o.recipient > s.recipient ORDER BY o.recipient LIMIT 1)
      FROM step AS s WHERE s.recipient IS NOT NULL)
    SELECT m.id FROM step AS s
    CROSS JOIN LATERAL (
      SELECT o.id, o.next_try_at, row_number() OVER (ORDER BY o.next_try_at) AS turn
      FROM outgoing_mail AS o
      WHERE {DUE_NOW} AND o.recipient = s.recipient
        AND o.id <> ALL (CAST(:aside AS uuid[]))
      ORDER BY o.next_try_at LIMIT :each) AS m
    ORDER BY m.turn, m.next_try_at LIMIT :limit
    """  # noqa: S608 - constants of this code
)
