"""A change of an account's language reaches every mirror.

What has a text in it is announced as if it had changed, and an app reads it anew with its next
sync.
"""

from typing import Any, Final
from uuid import UUID

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


def change_account(session: Session, account: Account, **given: Any) -> int:
    """`profile.change`, with what it changes in the mirrors of the account's apps.

    Returns how many things are announced.
    """
    locale = account.locale
    profile.change(session, account, **given)
    if account.locale == locale:
        return 0
    spoken = select(Change.kind, Change.entity_id).where(
        Change.account_id == account.id, Change.kind.in_(SPOKEN), Change.deleted.is_(False)
    )
    told: list[tuple[Kind, UUID | str]] = [
        (row.kind, row.entity_id) for row in session.execute(spoken.order_by(Change.number))
    ]
    # One of before experiments were told in the feed has no change.
    trials = select(Experiment.id).where(Experiment.account_id == account.id)
    told += [("experiment", id_) for id_ in session.scalars(trials)]
    flagged = select(DiaryEntry.id).where(
        DiaryEntry.account_id == account.id,
        DiaryEntry.deleted_at.is_(None),
        DiaryEntry.items.has_any(array(list(RED_FLAGS))),
    )
    told += [(ENTRY, id_) for id_ in session.scalars(flagged.order_by(DiaryEntry.felt_at))]
    for kind, entity_id in told:
        announce(session, account.id, kind, entity_id)
    return len(told)
