"""Operations that an app made offline, applied one by one, each with an answer of its own."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from cymba.devices.programme import withhold_current
from cymba.diary import entries
from cymba.diary.tables import DiaryEntry
from cymba.errors import DomainError, NotFound, Rejected
from cymba.sync.tables import SyncOperation

MAX_OPERATIONS = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One edit of one diary entry, made on the copy that the app held (`base_version`)."""

    id: UUID
    action: Literal["put", "delete"]
    entity_id: UUID
    base_version: int
    fields: Mapping[str, Any] = field(default_factory=dict)  # as cymba.diary.fields.Fields

    @property
    def digest(self) -> str:
        content = (self.action, self.entity_id, self.base_version, sorted(self.fields.items()))
        return hashlib.sha256(repr(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an operation; `entry` is the server's copy as it now stands.

    `version` is the one that this operation made, also for a duplicate: later edits of the same
    phone build on it, and not on what others have done since.
    """

    id: UUID
    status: Literal["applied", "duplicate", "conflict", "rejected"]
    entry: DiaryEntry | None = None
    version: int | None = None
    fields: tuple[str, ...] = ()  # those in conflict
    problem: DomainError | None = None


def push(
    session: Session,
    account_id: UUID,
    operations: Sequence[Operation],
    *,
    now: datetime,
    key: Ed25519PrivateKey | None = None,
) -> list[Answer]:
    """Apply operations in order; a bad one costs only itself.

    An applied operation's id is kept in the same transaction, so a retry after a lost answer is a
    `duplicate`. Conflicts and rejections changed nothing and are judged anew when retried.
    `key` signs programmes: with it a red flag among the operations takes the current from the
    account's devices.
    """
    # One push of an account at a time: a retry must see what the first try has done.
    turn = func.hashtextextended(f"sync/{account_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(turn)))
    answers = [_answer(session, account_id, operation, now) for operation in operations]
    if key is not None:
        withhold_current(session, key, account_id, now)
    return answers


def _answer(session: Session, account_id: UUID, operation: Operation, now: datetime) -> Answer:
    known = session.get(SyncOperation, (account_id, operation.id))
    if known is not None:
        if known.answer["digest"] != operation.digest:
            problem = Rejected("This operation's id was used before.", code="operation-reused")
            return Answer(operation.id, "rejected", problem=problem)
        entry = session.get(DiaryEntry, (account_id, operation.entity_id))
        return Answer(operation.id, "duplicate", entry, known.answer["version"])
    try:
        with session.begin_nested():
            outcome = _apply(session, account_id, operation, now)
            if isinstance(outcome, entries.Conflicting):
                return Answer(operation.id, "conflict", outcome.entry, fields=outcome.fields)
            answer = {"digest": operation.digest, "version": outcome.entry.version}
            session.add(SyncOperation(account_id=account_id, id=operation.id, answer=answer))
            session.flush()
    except DomainError as problem:
        return Answer(operation.id, "rejected", problem=problem)
    except (DataError, IntegrityError):
        unstorable = Rejected("The database cannot hold this operation.", code="unstorable")
        return Answer(operation.id, "rejected", problem=unstorable)
    return Answer(operation.id, "applied", outcome.entry, outcome.entry.version)


def _apply(
    session: Session, account_id: UUID, operation: Operation, now: datetime
) -> entries.Applied | entries.Conflicting:
    if operation.action == "put":
        return entries.merge(
            session,
            account_id,
            operation.entity_id,
            operation.fields,
            base_version=operation.base_version,
            now=now,
        )
    try:
        return entries.remove(
            session, account_id, operation.entity_id, base_version=operation.base_version, now=now
        )
    except NotFound:
        raise Rejected("There is no such diary entry to delete.", code="not-found") from None
