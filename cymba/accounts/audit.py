"""The audit log: who saw or changed what. The person can read it; nobody can rewrite it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cymba.accounts.tables import AuditEntry

MONTHS_MADE_DAYS_AHEAD = 60


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: the person (by sign-in), a share's holder, an operator by name, or the system."""

    kind: Literal["person", "share", "operator", "system"]
    id: str


def note(session: Session, account_id: UUID, actor: Actor, action: str, **detail: Any) -> None:
    """Add to the log, in the transaction of what is logged. `detail` holds no health data."""
    session.add(
        AuditEntry(
            account_id=account_id,
            actor_kind=actor.kind,
            actor_id=actor.id,
            action=action,
            detail=detail,
        )
    )


def note_own(session: Session, account_id: UUID, action: str, **detail: Any) -> None:
    """Add what the person does themself."""
    note(session, account_id, Actor("person", str(account_id)), action, **detail)


def page(
    session: Session, account_id: UUID, before: int | None = None, limit: int = 50
) -> list[AuditEntry]:
    """The newest entries first; `before` is the id of the last one seen."""
    query = select(AuditEntry).where(AuditEntry.account_id == account_id)
    if before is not None:
        query = query.where(AuditEntry.id < before)
    return list(session.scalars(query.order_by(AuditEntry.id.desc()).limit(limit)))


def remove_past(session: Session, before: datetime, limit: int) -> int:
    """Remove at most `limit` entries older than `before`, or else a whole month of them; how many
    entries or months there were.

    By functions of the database, which spare those of the last 30 days (`accounts.audit_months`).
    """
    removed = session.scalars(select(func.remove_audit_entries(before, limit))).one()
    if not removed:
        removed = session.scalars(select(func.drop_audit_month(before))).one()
    return int(removed)


def make_months(session: Session) -> int:
    """Have a part of the log for each month that begins soon; how many there were not yet."""
    return int(session.scalars(select(func.make_audit_months(MONTHS_MADE_DAYS_AHEAD))).one())


class MadeMonths(NamedTuple):
    """How far ahead the log has parts, and how many entries fit none of them."""

    until: datetime
    outside: int


def made_months(session: Session, _now: datetime) -> MadeMonths:
    return MadeMonths(*session.execute(text("SELECT * FROM audit_months()")).one())
