"""The change feed's writing side: what the apps of an account will hear of at their next sync."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account, Change


class Changed(NamedTuple):
    kind: str  # "session", "device", "diary-entry" …
    entity_id: str
    deleted: bool = False


def record_changes(session: Session, account_id: UUID, changes: Iterable[Changed]) -> int:
    """Give each change the account's next number; return the last one given.

    This must be the last statement before COMMIT: it locks the account's row, so the numbers of
    one account become visible in their own order. A cursor over them then skips no transaction
    that was slow to commit, which `updated_at` and sequences do.
    """
    latest = {(change.kind, change.entity_id): change.deleted for change in changes}
    session.flush()
    counter = session.scalar(
        update(Account)
        .where(Account.id == account_id)
        .values(change_counter=Account.change_counter + len(latest))
        .returning(Account.change_counter)
        .execution_options(synchronize_session=False)
    )
    if counter is None or not latest:
        return counter or 0
    first = counter - len(latest) + 1
    rows = [
        {
            "account_id": account_id,
            "kind": kind,
            "entity_id": entity_id,
            "number": first + i,
            "deleted": deleted,
        }
        for i, ((kind, entity_id), deleted) in enumerate(latest.items())
    ]
    statement = insert(Change).values(rows)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[Change.account_id, Change.kind, Change.entity_id],
            set_={
                "number": statement.excluded.number,
                "deleted": statement.excluded.deleted,
                "changed_at": func.now(),
            },
        )
    )
    return counter


def change_counter(session: Session, account_id: UUID) -> int:
    """The number of the account's latest committed change."""
    return session.scalars(select(Account.change_counter).where(Account.id == account_id)).one()


def was_deleted(session: Session, account_id: UUID, kind: str, entity_id: str) -> bool:
    """Whether the account had such a thing and it is gone; not for ever: tombstones are forgotten.

    So a DELETE whose answer was lost is answered the same again, and a stranger's id as unknown.
    """
    change = session.get(Change, (account_id, kind, entity_id))
    return change is not None and change.deleted
