"""Mails to an account's owner about what was done with it, in case it was a thief."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cymba.accounts import outbox
from cymba.accounts.tables import Account, OutgoingMail

MOST_AN_HOUR = 20  # more would only flood the mailbox


class Notice(NamedTuple):
    subject: str
    body: str


_IF_NOT_YOU = """\
If this was not you, ask for a new password in the app: that ends every sign-in, share, code and
link to a provider that your account has.
"""
LINKED = Notice(
    "A sign-in was linked",
    "From now on a sign-in at another provider opens your account too.\n\n" + _IF_NOT_YOU,
)
SHARED = Notice(
    "A share was made",
    "Whoever holds it can read parts of what your account keeps; the app lists all shares, and\n"
    "ends them.\n\n" + _IF_NOT_YOU,
)
HANDED_ON = Notice(
    "A device can be handed on",
    "A claim code was made for a device of yours: whoever enters it becomes its holder.\n\n"
    + _IF_NOT_YOU,
)


def notify(session: Session, account_id: UUID, notice: Notice) -> None:
    """Enqueue a mail to the account's owner, in the transaction of what it is about."""
    recent = OutgoingMail.created_at > func.now() - timedelta(hours=1)
    query = select(func.count()).where(OutgoingMail.account_id == account_id, recent)
    if session.scalars(query).one() >= MOST_AN_HOUR:
        return
    recipient = session.scalars(select(Account.email).where(Account.id == account_id)).one()
    outbox.enqueue(
        session,
        account_id=account_id,
        recipient=recipient,
        subject=notice.subject,
        body=notice.body,
    )
