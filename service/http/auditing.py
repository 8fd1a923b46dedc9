"""What a signed-in person does, for the audit log that they can read."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from cymba.accounts import audit
from cymba.accounts.audit import Actor


def note(session: Session, account_id: UUID, action: str, **detail: Any) -> None:
    """Log it with the transaction that does it. `detail` holds no health data and no secret."""
    audit.note(session, account_id, Actor("person", str(account_id)), action, **detail)
