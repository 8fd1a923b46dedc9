"""Whether accounts have changed, and whether the sign-ins that watch them still stand: many at once
by one statement over indexed rows."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.sync.tables import NEVER_RESTORED


class Watcher(NamedTuple):
    account_id: UUID
    family_id: UUID  # of its sign-in


class Mark(NamedTuple):
    """How far an account's changes have come."""

    epoch: UUID
    number: int

    def is_after(self, seen: "Mark") -> bool:
        return self != seen  # a lower number: a backup was restored


def read_marks(session: Session, watchers: Collection[Watcher]) -> dict[Watcher, Mark | None]:
    """By watcher; None: the account is gone, or the sign-in was ended."""
    values = {
        "accounts": [watcher.account_id for watcher in watchers],
        "families": [watcher.family_id for watcher in watchers],
        "never": NEVER_RESTORED,
    }
    found = {
        Watcher(row.account_id, row.family_id): Mark(row.epoch, row.number)
        for row in session.execute(_MARKS, values)
    }
    return {watcher: found.get(watcher) for watcher in watchers}


_MARKS = text(
    """
    SELECT w.account_id, w.family_id, a.change_counter AS number,
           coalesce((SELECT epoch FROM sync_epoch), :never) AS epoch
    FROM unnest(CAST(:accounts AS uuid[]), CAST(:families AS uuid[])) AS w (account_id, family_id)
    JOIN account AS a ON a.id = w.account_id
    WHERE EXISTS (SELECT FROM refresh_token AS r
                  WHERE r.family_id = w.family_id AND r.revoked_at IS NULL)
    """
)
