"""A red-flag symptom takes the current from every device of its person, in one transaction.

While a flag stands, each device that the person holds is to have a limit of no current: those that
they hold when it is raised (here), and those that they claim later (`claiming.claim`).
"""

from datetime import date, datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.database import line_of
from cymba.devices.programme import withhold_current
from cymba.devices.screening import (
    RED_FLAGS,
    lift_red_flags,
    lock_safety,
    standing_red_flags,
)
from cymba.devices.tables import RedFlag
from cymba.errors import Conflict, Rejected
from cymba.voice import said


def raise_red_flag(
    session: Session,
    key: Ed25519PrivateKey,
    account_id: UUID,
    symptom: str,
    *,
    felt_at: datetime,
    now: datetime,
) -> RedFlag:
    """Lock the account's programmes because of a symptom of `RED_FLAGS`, and allow no current.

    `key` signs the versions without a current.

    Idempotent: the same symptom at the same time is raised once.

    Raises:
        Rejected: it is no red flag.
    """
    if symptom not in RED_FLAGS:
        raise Rejected("This symptom is no red flag.", code="unknown-symptom")
    lock_safety(session, account_id)
    row = session.scalar(
        select(RedFlag).where(
            RedFlag.account_id == account_id,
            RedFlag.symptom == symptom,
            RedFlag.felt_at == felt_at,
        )
    )
    if row is None:
        row = RedFlag(account_id=account_id, symptom=symptom, felt_at=felt_at, raised_at=now)
        session.add(row)
        session.flush()
        announce(session, account_id, "red-flag", row.id)
    withhold_current(session, key, account_id, now)
    return row


def release_red_flags(
    session: Session, account_id: UUID, *, clinician: str, seen_on: date, now: datetime
) -> None:
    """The person declares that a clinician has looked at their symptoms: the lock is lifted.

    No current comes back by that: the person answers the questions again and sets a programme.

    Raises:
        Conflict: no red flag stands.
        Rejected: the day lies before the latest symptom, or in the future.
    """
    standing = standing_red_flags(line_of(session), account_id)
    if not standing:
        raise Conflict("No red-flag symptom stands.", code="no-red-flag")
    # `seen_on` is a local day, the rest is in UTC: a day either way may be right.
    latest = max(flag.felt_at for flag in standing)
    if seen_on < (latest - timedelta(days=1)).date():
        raise _bad_day(said("Must not be before the symptom."))
    if seen_on > (now + timedelta(days=1)).date():
        raise _bad_day(said("Must not be in the future."))
    lift_red_flags(session, account_id, f"{clinician}, {seen_on.isoformat()}", now)


def _bad_day(detail: str) -> Rejected:
    errors = [{"pointer": "/seen_on", "detail": detail}]
    return Rejected("The request does not fit.", code="validation", errors=errors)
