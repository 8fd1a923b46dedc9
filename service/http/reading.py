"""Reads whose time counts: over a connection that commits each statement, without a transaction.

A share's look is counted and noted in the audit log, so it has a transaction all the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from cymba import database
from cymba.accounts.tokens import Caller, read_caller
from service.http.bearer import current_access, current_account, is_by_share, signed_in
from service.http.services import services
from service.http.transaction import transaction


@dataclass(frozen=True, slots=True)
class Reading:
    """Whose data a request reads, and over which line."""

    line: psycopg.Connection[Any]
    account_id: UUID
    family_id: UUID | None  # for statements that look up the caller themselves; null: it is known
    caller: Callable[[], Caller]
    """Raises `Unauthenticated` where the account is gone, or its sign-in was ended since."""


@contextmanager
def reading() -> Iterator[Reading]:
    if is_by_share():
        with transaction() as session:
            sharer = current_account(session)
            yield Reading(database.line_of(session), sharer.id, None, lambda: sharer)
    else:
        access = current_access()
        with database.reading(services().engine) as line:
            yield Reading(
                line,
                access.account_id,
                access.family_id,
                lambda: signed_in(read_caller(line, access)),
            )
