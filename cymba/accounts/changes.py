"""Writes the change feed, which the apps of an account read at their next sync.

Code that changes what an app mirrors announces it, anywhere in the transaction. The feed is written
in one place, at the end of the transaction. That locks the account's row, so the numbers of one
account become visible in order, and a cursor over them skips no transaction that was slow to
commit. `updated_at` or a sequence would skip it.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import event, select, text
from sqlalchemy.orm import Session, SessionTransaction

from cymba.accounts.tables import Account, Change
from cymba.database import UnitOfWork
from cymba.parts import of_part, parts

Kind = Literal[
    "session",
    "diary-entry",
    "device",
    "reminder",
    "remark",
    "finding",
    "experiment",
    "consent",
    "screening",
    "red-flag",
]


def announce(
    session: Session, account_id: UUID, kind: Kind, entity_id: UUID | str, *, deleted: bool = False
) -> None:
    """Add this thing to the account's change feed when the transaction commits.

    An announcement within a savepoint is dropped if the savepoint is rolled back. Of several about
    one thing, the last counts.

    Raises:
        TypeError: the session is not a `UnitOfWork`, and would write no feed.
    """
    if not isinstance(session, UnitOfWork):
        raise TypeError(f"{type(session).__name__} writes no change feed: open a UnitOfWork")
    _announced(session).all.append(_Announcement(account_id, kind, str(entity_id), deleted))


def change_counter(session: Session, account_id: UUID) -> int:
    """The number of the account's latest committed change."""
    return session.scalars(select(Account.change_counter).where(Account.id == account_id)).one()


def was_deleted(session: Session, account_id: UUID, kind: Kind, entity_id: UUID | str) -> bool:
    """Whether the account had such a thing and deleted it, as long as its tombstone is kept.

    So a repeated DELETE gets the same answer, and a stranger's id is unknown.
    """
    change = session.get(Change, (account_id, kind, str(entity_id)))
    return change is not None and change.deleted


class _Announcement(NamedTuple):
    account_id: UUID
    kind: Kind
    entity_id: str
    deleted: bool


@dataclass(slots=True)
class _Announced:
    """The announcements of one transaction, and how many there were before each savepoint."""

    all: list[_Announcement] = field(default_factory=list)
    before: dict[SessionTransaction, int] = field(default_factory=dict)


_KEY = "announced"


def _announced(session: Session) -> _Announced:
    found: _Announced = session.info.setdefault(_KEY, _Announced())
    return found


@event.listens_for(UnitOfWork, "after_transaction_create")
def _note_savepoint(session: Session, begun: SessionTransaction) -> None:
    if begun.nested:
        state = _announced(session)
        state.before[begun] = len(state.all)


@event.listens_for(UnitOfWork, "after_soft_rollback")
def _forget_savepoint(session: Session, rolled_back: SessionTransaction) -> None:
    state = _announced(session)
    if rolled_back in state.before:
        del state.all[state.before.pop(rolled_back) :]


@event.listens_for(UnitOfWork, "after_transaction_end")
def _forget(session: Session, ended: SessionTransaction) -> None:
    if ended.parent is None:
        session.info.pop(_KEY, None)


@event.listens_for(UnitOfWork, "before_commit")
def _write_feed(session: Session) -> None:
    if session.in_nested_transaction():
        return  # a savepoint ends; the transaction goes on
    of_accounts: dict[UUID, dict[tuple[Kind, str], bool]] = defaultdict(dict)
    for account_id, kind, entity_id, deleted in _announced(session).all:
        of_accounts[account_id][kind, entity_id] = deleted
    if of_accounts:
        session.flush()
    for part in parts(session, of_accounts) if of_accounts else ():
        rows = [
            (account_id, place, kind, entity_id, deleted)
            for account_id in part or sorted(of_accounts)
            for place, ((kind, entity_id), deleted) in enumerate(of_accounts[account_id].items(), 1)
        ]
        columns = zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)
        session.execute(_WRITE_FEED, dict(columns) | {"part": part})


_COLUMNS = ("account_ids", "places", "kinds", "entity_ids", "deleted")
# Each change has its account's next number, unless the account is gone. Accounts are locked in one
# order, so that no two transactions deadlock.
_WRITE_FEED = text(
    f"""
    WITH changed AS MATERIALIZED (
      SELECT * FROM unnest(CAST(:account_ids AS uuid[]), CAST(:places AS bigint[]),
                           CAST(:kinds AS text[]), CAST(:entity_ids AS text[]),
                           CAST(:deleted AS boolean[]))
        AS c (account_id, place, kind, entity_id, deleted)),
    locked AS MATERIALIZED (
      SELECT k.account_id, k.changes
      FROM (SELECT account_id, max(place) AS changes FROM changed
            GROUP BY account_id ORDER BY account_id) AS k
      CROSS JOIN LATERAL (
        SELECT FROM account AS a WHERE a.id = k.account_id AND {of_part("a.id", "uuid")}
        OFFSET 0 FOR NO KEY UPDATE) AS a),
    numbered AS (
      UPDATE account AS a SET change_counter = a.change_counter + l.changes
      FROM locked AS l
      WHERE a.id = l.account_id
        AND a.id = ANY (coalesce(CAST(:part AS uuid[]), ARRAY[l.account_id]))
      RETURNING a.id, a.change_counter - l.changes AS before)
    INSERT INTO change (account_id, kind, entity_id, number, deleted, changed_at)
    SELECT c.account_id, c.kind, c.entity_id, n.before + c.place, c.deleted, now()
    FROM changed AS c JOIN numbered AS n ON n.id = c.account_id
    ORDER BY c.account_id, c.place
    ON CONFLICT (account_id, kind, entity_id) DO UPDATE
      SET number = excluded.number, deleted = excluded.deleted, changed_at = excluded.changed_at
    """  # noqa: S608 - a constant
)
