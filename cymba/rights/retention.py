"""Retention: how long things are kept. Each period is a setting.

Frames in quarantine that were not replayed stay for ever by default: they may be the only copy of a
reading.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, inspect, or_, select
from sqlalchemy.orm import Session

from cymba.accounts import audit
from cymba.accounts.kept_answers import KEPT_FOR
from cymba.accounts.tables import (
    ErasureReceipt,
    KeptAnswer,
    OutgoingMail,
    RefreshToken,
    SingleUseToken,
)
from cymba.database import Base
from cymba.imports.lifecycle import remove_unstored
from cymba.parts import delete_some, one_after_the_other
from cymba.settings import Settings
from cymba.stimulation.tables import QuarantinedFrame
from cymba.sync.feed import prune

ROWS_A_TRANSACTION = 5_000
_LOCK = 0x63796D62_72657465  # "cymbrete": one of these at a time, among the advisory locks


@dataclass(frozen=True, slots=True)
class Rule:
    """What is removed after its period; 0 days keep it for ever.

    `remove` gets a time and a limit, removes at most so many rows from before that time (or one
    month of them as a whole), and returns how many.
    """

    name: str
    about: str
    days: Callable[[Settings], int]
    remove: Callable[[Session, datetime, int], int]


def _rows(
    table: type[Base], past: Callable[[datetime], ColumnElement[bool]]
) -> Callable[[Session, datetime, int], int]:
    """Removes the rows of `table` for which the condition holds."""

    def remove(session: Session, before: datetime, limit: int) -> int:
        some = delete_some(session, table, past(before), limit=limit)
        return len(session.execute(some.returning(*inspect(table).primary_key)).all())

    return remove


RULES: tuple[Rule, ...] = (
    Rule(
        "audit",
        "entries of the audit log, each month as a whole",
        lambda settings: settings.retention_audit_days,
        audit.remove_past,
    ),
    Rule(
        "quarantine",
        "quarantined frames that were replayed",
        lambda settings: settings.retention_quarantine_days,
        _rows(QuarantinedFrame, lambda before: QuarantinedFrame.replayed_at < before),
    ),
    Rule(
        "waiting-quarantine",
        "quarantined frames that were not replayed",
        lambda settings: settings.retention_waiting_quarantine_days,
        _rows(
            QuarantinedFrame,
            lambda before: (
                (QuarantinedFrame.replayed_at.is_(None)) & (QuarantinedFrame.received_at < before)
            ),
        ),
    ),
    Rule(
        "tombstones",
        "tombstones of deletions, and answers to the apps' offline operations",
        lambda settings: settings.retention_tombstone_days,
        lambda session, before, limit: prune(session, before=before, limit=limit),
    ),
    # A spent token stays until it would have expired, so that its reuse is recognised.
    Rule(
        "refresh-tokens",
        "expired sign-ins",
        lambda settings: settings.retention_token_days,
        _rows(RefreshToken, lambda before: RefreshToken.expires_at < before),
    ),
    Rule(
        "single-use-tokens",
        "links of mails, used or expired",
        lambda settings: settings.retention_token_days,
        _rows(
            SingleUseToken,
            lambda before: or_(SingleUseToken.used_at < before, SingleUseToken.expires_at < before),
        ),
    ),
    Rule(
        "receipts",
        "receipts of erasures, past their end",
        lambda _: 1,
        _rows(ErasureReceipt, lambda before: ErasureReceipt.expires_at < before),
    ),
    Rule(
        "kept-answers",
        "answers for requests that are sent again",
        lambda _: KEPT_FOR.days,
        _rows(KeptAnswer, lambda before: KeptAnswer.kept_at < before),
    ),
    Rule(
        "imports",
        "files that nobody confirmed, and imports of which nothing is kept",
        lambda settings: settings.retention_import_days,
        remove_unstored,
    ),
    Rule(
        "mail",
        "mails that were sent",
        lambda settings: settings.retention_mail_days,
        _rows(OutgoingMail, lambda before: OutgoingMail.sent_at < before),
    ),
)


def begin_retention(session: Session) -> bool:
    """Take the lock of retention. False if another process has it."""
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))))


def remove_some(session: Session, rule: Rule, settings: Settings, *, now: datetime) -> int:
    """Remove at most `ROWS_A_TRANSACTION` rows that are past their period. Return how many.

    Commit, and call it again until it returns 0.
    """
    days = rule.days(settings)
    if not days or not begin_retention(session):
        return 0
    one_after_the_other(session)
    before = now - timedelta(days=days)
    return rule.remove(session, before, ROWS_A_TRANSACTION)
