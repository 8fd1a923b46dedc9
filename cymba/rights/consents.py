"""Withdrawing a consent, and removing what depended on it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.accounts.changes import announce
from cymba.accounts.consent import end, purpose_of
from cymba.insights import findings


def withdraw(session: Session, account_id: UUID, name: str, *, now: datetime) -> None:
    """Withdraw a consent. Idempotent.

    Without `insights` the findings are removed.

    Raises:
        NotFound: there is no such purpose, and none was agreed to while there was.
    """
    if end(session, account_id, name, now):
        announce(session, account_id, "consent", name, deleted=True)
    else:
        purpose_of(name)
    note_own(session, account_id, "consent.withdrawn", purpose=name)
    if name == "insights":
        findings.forget(session, account_id)
