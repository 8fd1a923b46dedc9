"""What refers to an account from another node (docs/scaling.md).

There no reference of the database keeps an account from being erased before the row that names it
is committed. So whoever writes such a row holds the account until the transaction ends.
"""

from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

from sqlalchemy import Table, event, text
from sqlalchemy.orm import Session

from cymba.database import UnitOfWork
from cymba.distribution import PLACES
from cymba.errors import NotFound
from cymba.parts import lies_in_parts, parts


def hold_accounts(session: Session, account_ids: Iterable[UUID | None]) -> None:
    """On several nodes: keep these accounts until the transaction ends. On one PostgreSQL a
    reference does.

    Raises:
        NotFound: one of them was erased.
    """
    wanted = {one for one in account_ids if one is not None}
    if not wanted or not lies_in_parts(session):
        return
    for part in parts(session, wanted):
        if len(session.scalars(_HOLD, {"part": part}).all()) < len(part or ()):
            raise NotFound("There is no account with this id.")


@event.listens_for(UnitOfWork, "before_flush")
def _hold_named(session: Session, *_: object) -> None:
    hold_accounts(session, [one.account_id for one in session.new if _is_far(one.__table__)])


@lru_cache
def _is_far(table: Table) -> bool:
    """Whether its rows name accounts, and lie elsewhere."""
    named = {key.target_fullname for key in table.foreign_keys}
    return PLACES[table.name].group != "account" and "account.id" in named


_HOLD = text("SELECT id FROM account WHERE id = ANY (CAST(:part AS uuid[])) FOR KEY SHARE")
