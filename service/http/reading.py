"""Reads whose time counts: over a connection that commits each statement, without a transaction.

A share's look is counted and noted in the audit log, so it has a transaction all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from cymba import database
from cymba.accounts.tokens import AccessToken, Caller, read_caller
from service.http.bearer import current_access, current_account, ended, is_by_share
from service.http.language import speak
from service.http.services import services
from service.http.transaction import transaction


@dataclass(frozen=True, slots=True)
class Reading:
    """Whose data a request reads, and over which line."""

    line: psycopg.Connection[Any]
    account_id: UUID
    access: AccessToken | None  # still to be looked up; null: the caller is known
    known: Caller | None

    @property
    def family_id(self) -> UUID | None:
        """For statements that look up the caller themselves."""
        return None if self.access is None else self.access.family_id

    def caller(self) -> Caller:
        """
        Raises:
            Unauthenticated: the account is gone, or its sign-in was ended since.
        """
        if self.known is not None:
            return self.known
        found = None if self.access is None else read_caller(self.line, self.access)
        if found is None:
            raise ended()
        speak(found.locale)
        return found


@contextmanager
def reading() -> Iterator[Reading]:
    if is_by_share():
        with transaction() as session:
            caller = current_account(session)
            yield Reading(database.line_of(session), caller.id, None, caller)
    else:
        access = current_access()
        with database.reading(services().engine) as line:
            yield Reading(line, access.account_id, access, None)
