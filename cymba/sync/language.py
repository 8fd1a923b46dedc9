"""A change of an account's language reaches every mirror.

What has a text in it is announced as if it had changed, and an app reads it anew with its next
sync.
"""

from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from cymba.accounts import profile
from cymba.accounts.changes import Kind, announce
from cymba.accounts.tables import Account, Change
from cymba.devices.screening import RED_FLAGS
from cymba.diary.entries import KIND as ENTRY
from cymba.diary.tables import DiaryEntry
from cymba.insights.tables import Experiment

# Those that always hold a text; of diary entries only those with a red flag do.
SPOKEN: Final[tuple[Kind, ...]] = ("device", "experiment", "finding")


def change_account(session: Session, account: Account, **given: Any) -> None:
    """`profile.change`, with what it changes in the mirrors of the account's apps."""
    locale = account.locale
    profile.change(session, account, **given)
    if account.locale == locale:
        return
    spoken = select(Change.kind, Change.entity_id).where(
        Change.account_id == account.id, Change.kind.in_(SPOKEN), Change.deleted.is_(False)
    )
    for row in session.execute(spoken.order_by(Change.number)).all():
        announce(session, account.id, row.kind, row.entity_id)
    # One of before experiments were told in the feed has no change.
    for id_ in session.scalars(select(Experiment.id).where(Experiment.account_id == account.id)):
        announce(session, account.id, "experiment", id_)
    flagged = select(DiaryEntry.id).where(
        DiaryEntry.account_id == account.id,
        DiaryEntry.deleted_at.is_(None),
        DiaryEntry.items.has_any(array(list(RED_FLAGS))),
    )
    for entry_id in session.scalars(flagged.order_by(DiaryEntry.felt_at)).all():
        announce(session, account.id, ENTRY, entry_id)
