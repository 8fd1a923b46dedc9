"""Applies operations that an app made offline, one by one, each with its own answer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from cymba.accounts.merging import Applied, Conflicting, Mergeable, Seen
from cymba.accounts.written_fields import Fields, normal
from cymba.diary import entries
from cymba.diary.entries import DiaryEntries
from cymba.diary.reminders import Reminders
from cymba.errors import Busy, DomainError, NotFound, Rejected
from cymba.failures import is_refused
from cymba.stimulation.session.notes import SessionNotes
from cymba.stimulation.written.remarks import Remarks
from cymba.stimulation.written.sessions import WrittenSessions
from cymba.sync.tables import SyncOperation
from cymba.voice import said

MAX_OPERATIONS = 200

Mergeables = Mapping[str, Mergeable[Any]]
"""What an app may push, by kind."""


def mergeables(key: Ed25519PrivateKey) -> Mergeables:
    """`key` signs the programmes without a current that follow a red flag."""
    kinds: tuple[Mergeable[Any], ...] = (
        DiaryEntries(key),
        WrittenSessions(),
        Remarks(),
        Reminders(),
    )
    return {one.kind: one for one in kinds}


@dataclass(frozen=True, slots=True)
class Operation:
    """One edit of one thing. It was made on what the app showed: its copy, with those of its own
    earlier operations on top that the copy did not hold yet."""

    id: UUID
    kind: str  # of `mergeables`
    action: Literal["put", "delete"]
    entity_id: UUID
    base_version: int  # of that copy; 0: the app had none
    fields: Fields = field(default_factory=dict)
    # The earlier operations that touch these fields; None: the app does not send them.
    builds_on: Sequence[UUID] | None = None
    # Why the operation cannot be applied: its `fields` then have names but no values.
    problem: DomainError | None = None

    @property
    def entity(self) -> str:
        """The thing that it edits, as stored answers name it."""
        is_first = self.kind == entries.KIND  # which was once the only kind
        return str(self.entity_id) if is_first else f"{self.kind}/{self.entity_id}"

    @property
    def digest(self) -> str:
        """The same for the same edit, in whatever form and however often it is sent.

        `base_version` and `builds_on` do not count: a client may know more when it retries.

        Raises:
            Rejected: a value is nested deeper than any item's.
        """
        content = [self.action, self.entity, normal(self.fields)]
        text = json.dumps(content, sort_keys=True, default=_as_text)
        return hashlib.sha256(text.encode()).hexdigest()


def _as_text(value: datetime | UUID) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of an operation; `row` is the server's copy as it now stands.

    The app has seen every change up to `version`. That is the version that the operation made only
    if nobody else had changed the thing since. Clients that send no `builds_on` use it as the base
    of their later edits.
    """

    id: UUID | None  # None: the operation could not be read
    status: Literal["applied", "duplicate", "conflict", "rejected"]
    row: Any = None  # of the table of its kind
    version: int | None = None
    fields: tuple[str, ...] = ()  # those in conflict
    problem: DomainError | None = None


def push(
    session: Session,
    account_id: UUID,
    operations: Sequence[Operation],
    *,
    key: Ed25519PrivateKey,
    now: datetime,
) -> list[Answer]:
    """Apply operations in order; a bad one does not affect the others.

    Idempotent: an applied operation's id is stored in the same transaction, so a retry after a lost
    answer is a `duplicate`. Conflicts and rejections change nothing and are judged again at a
    retry. If the app sends `builds_on`, they are stored for the operations that build on them.
    `key` signs the programmes without a current that follow a red flag.

    Raises:
        Busy: another push of the account is under way.
    """
    # One push of an account at a time, because a retry must see what the first attempt did. It does
    # not wait, which would hold a thread and a connection.
    turn = func.hashtextextended(f"sync/{account_id}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(turn))):
        raise Busy("Another push of this account is under way. Wait for it, then push again.")
    # A queue is sent in order: later operations were made on top of earlier ones.
    before: dict[UUID, dict[str, Any]] = {}
    kinds = mergeables(key)
    return [
        _answer(
            session,
            account_id,
            operation,
            before,
            mergeable=_mergeable(session, account_id, operation, kinds),
            now=now,
        )
        for operation in operations
    ]


def _mergeable(
    session: Session, account_id: UUID, operation: Operation, kinds: Mergeables
) -> Mergeable[Any]:
    """Of a session that a device recorded, only what the person notes is theirs to edit."""
    if operation.kind == SessionNotes.kind:
        notes = SessionNotes()
        if notes.find(session, account_id, operation.entity_id) is not None:
            return notes
    return kinds[operation.kind]


def _answer(
    session: Session,
    account_id: UUID,
    operation: Operation,
    before: dict[UUID, dict[str, Any]],
    *,
    mergeable: Mergeable[Any],
    now: datetime,
) -> Answer:
    kept = session.get(SyncOperation, (account_id, operation.id), populate_existing=True)
    applied = kept.answer if kept is not None and "digest" in kept.answer else None
    seen, through = _seen(session, account_id, operation, before)
    try:
        if operation.problem is not None:
            raise operation.problem
        digest = operation.digest
        if applied is not None:
            # Before digests were of this form there was no `entity` in an answer.
            if "entity" in applied:
                if applied["digest"] != digest:
                    raise Rejected("This operation's id was used before.", code="operation-reused")
                before[operation.id] = applied
            row = mergeable.find(session, account_id, operation.entity_id)
            return Answer(operation.id, "duplicate", row, applied["version"])
        with session.begin_nested():
            outcome = _apply(session, account_id, operation, seen, mergeable=mergeable, now=now)
        if isinstance(outcome, Applied):
            row, version = outcome.row, _seen_through(outcome, through)
            left = _left(operation, mergeable, row.field_versions, row.version)
            left |= {"digest": digest, "version": version}
            _keep(session, account_id, operation.id, left)
            before[operation.id] = left
            return Answer(operation.id, "applied", row, version)
        answer = Answer(operation.id, "conflict", outcome.row, fields=outcome.fields)
    except DomainError as problem:
        answer = Answer(operation.id, "rejected", problem=problem)
    except DBAPIError as error:
        if not is_refused(error):
            raise
        unstorable = Rejected("The database cannot hold this operation.", code="unstorable")
        answer = Answer(operation.id, "rejected", problem=unstorable)
    if applied is None:
        row = mergeable.find(session, account_id, operation.entity_id)
        names = {*operation.fields, *(row.field_versions if row else ())}
        beneath = {name: seen.up_to(name, row) for name in names} if row else {}
        before[operation.id] = left = _left(operation, mergeable, beneath, 0)
        if operation.builds_on is not None:
            _keep(session, account_id, operation.id, left)
    return answer


def _apply(
    session: Session,
    account_id: UUID,
    operation: Operation,
    seen: Seen,
    *,
    mergeable: Mergeable[Any],
    now: datetime,
) -> Applied[Any] | Conflicting[Any]:
    entity_id = operation.entity_id
    if operation.action == "put":
        try:
            return mergeable.merge(
                session, account_id, entity_id, operation.fields, seen=seen, now=now
            )
        except Rejected as rejected:
            for error in rejected.errors:  # which point into the fields
                error["pointer"] = "/fields" + error["pointer"]
            raise
    try:
        return mergeable.remove(session, account_id, entity_id, seen=seen, now=now)
    except NotFound:
        raise Rejected(
            said("There is no such {noun} to delete.", noun=mergeable.noun), code="not-found"
        ) from None


def _seen(
    session: Session,
    account_id: UUID,
    operation: Operation,
    before: Mapping[UUID, dict[str, Any]],
) -> tuple[Seen, int]:
    """The state that the app showed, and the version up to which it had seen every change."""
    entity = operation.entity
    own = {id_: left for id_, left in before.items() if left["entity"] == entity}
    named = set(operation.builds_on or ())
    if named - own.keys():
        query = select(SyncOperation.id, SyncOperation.answer).where(
            SyncOperation.account_id == account_id,
            SyncOperation.id.in_(named - own.keys()),
            SyncOperation.answer["entity"].astext == entity,
        )
        own |= {row.id: row.answer for row in session.execute(query)}
    covered: dict[str, int] = {}
    deletion = None
    for left in own.values():
        for name, at in left["fields"].items():
            covered[name] = max(at, covered.get(name, 0))
        if "deletion" in left:
            deletion = max(left["deletion"], deletion or 0)
    # An unknown operation may have covered any field, so the copy proves nothing then.
    version = operation.base_version if named <= own.keys() else 0
    through = max(version, *(left.get("version", 0) for left in own.values()), 0)
    return Seen(version, covered, deletion), through


def _seen_through(outcome: Applied[Any], through: int) -> int:
    """The version up to which the app has seen every change, now that its edit is applied."""
    before = outcome.row.version - outcome.changed
    if through > before:  # it is from before a backup was restored
        through = 0
    return outcome.row.version if through == before else through


def _left(
    operation: Operation, mergeable: Mergeable[Any], versions: Mapping[str, int], deletion: int
) -> dict[str, Any]:
    """What later edits on top of this operation need: for each field that it covers, the version up
    to which the app knew the field. If it was not applied, that is the version beneath it."""
    entity = {"entity": operation.entity}
    if operation.action == "delete":
        return entity | {"fields": dict(versions), "deletion": deletion}
    names = filter(mergeable.is_field, operation.fields)
    return entity | {"fields": {name: versions.get(name, 0) for name in names}}


def _keep(session: Session, account_id: UUID, id_: UUID, answer: dict[str, Any]) -> None:
    statement = insert(SyncOperation).values(
        account_id=account_id, id=id_, answer=answer, answered_at=func.now()
    )
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[SyncOperation.account_id, SyncOperation.id],
            set_={"answer": answer, "answered_at": statement.excluded.answered_at},
        )
    )
