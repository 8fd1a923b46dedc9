"""Operations that an app made offline, applied one by one, each with an answer of its own."""

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
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from cymba.diary import entries
from cymba.diary.fields import Fields, is_field, normal
from cymba.diary.tables import DiaryEntry
from cymba.errors import Busy, DomainError, NotFound, Rejected
from cymba.sync.tables import SyncOperation

MAX_OPERATIONS = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """One edit of one diary entry, made on what the app showed: its copy of the entry, with its
    own earlier operations on top that the copy did not hold yet."""

    id: UUID
    action: Literal["put", "delete"]
    entity_id: UUID
    base_version: int  # of that copy; 0: the app had none
    fields: Fields = field(default_factory=dict)
    # Those earlier operations, as far as they touch these fields; None: the app does not say.
    builds_on: Sequence[UUID] | None = None
    # Why whoever read it could not take it: its `fields` then have names, and no values.
    problem: DomainError | None = None

    @property
    def digest(self) -> str:
        """The same for the same edit, in whatever form and however often it is sent.

        On what it was made does not count: a client may know more of that when it tries again.

        Raises:
            Rejected: a value is nested deeper than any item's.
        """
        content = [self.action, self.entity_id, normal(self.fields)]
        text = json.dumps(content, sort_keys=True, default=_as_text)
        return hashlib.sha256(text.encode()).hexdigest()


def _as_text(value: datetime | UUID) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an operation; `entry` is the server's copy as it now stands.

    `version` is the one up to which the app has seen all that was done to the entry: it is what
    the operation made only where nobody else had changed the entry since. Clients that name no
    `builds_on` take it for the base of their later edits.
    """

    id: UUID | None  # None: it could not be read
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
    key: Ed25519PrivateKey,
    now: datetime,
) -> list[Answer]:
    """Apply operations in order; a bad one costs only itself.

    An applied operation's id is kept in the same transaction, so a retry after a lost answer is a
    `duplicate`. Conflicts and rejections changed nothing and are judged anew when retried; those
    of an app that names what it builds on are remembered for what was built on them.
    `key` signs the programmes without a current that follow a red flag.

    Raises:
        Busy: another push of the account is under way.
    """
    # One push of an account at a time: a retry must see what the first try has done. To wait for it
    # would hold a thread and a connection for as long as the other takes.
    turn = func.hashtextextended(f"sync/{account_id}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(turn))):
        raise Busy("Another push of this account is under way. Wait for it, then push again.")
    # A queue is sent in its order: what comes later was made on top of what comes before.
    before: dict[UUID, dict[str, Any]] = {}
    return [
        _answer(session, account_id, operation, before, key=key, now=now)
        for operation in operations
    ]


def _answer(
    session: Session,
    account_id: UUID,
    operation: Operation,
    before: dict[UUID, dict[str, Any]],
    *,
    key: Ed25519PrivateKey,
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
            entry = session.get(DiaryEntry, (account_id, operation.entity_id))
            return Answer(operation.id, "duplicate", entry, applied["version"])
        with session.begin_nested():
            outcome = _apply(session, account_id, operation, seen, key=key, now=now)
        if isinstance(outcome, entries.Applied):
            entry, version = outcome.entry, _seen_through(outcome, through)
            left = _left(operation, entry.field_versions, entry.version)
            left |= {"digest": digest, "version": version}
            _keep(session, account_id, operation.id, left)
            before[operation.id] = left
            return Answer(operation.id, "applied", entry, version)
        answer = Answer(operation.id, "conflict", outcome.entry, fields=outcome.fields)
    except DomainError as problem:
        answer = Answer(operation.id, "rejected", problem=problem)
    except (DataError, IntegrityError):
        unstorable = Rejected("The database cannot hold this operation.", code="unstorable")
        answer = Answer(operation.id, "rejected", problem=unstorable)
    if applied is None:
        entry = session.get(DiaryEntry, (account_id, operation.entity_id))
        names = {*operation.fields, *(entry.field_versions if entry else ())}
        beneath = {name: seen.up_to(name, entry) for name in names} if entry else {}
        before[operation.id] = left = _left(operation, beneath, 0)
        if operation.builds_on is not None:
            _keep(session, account_id, operation.id, left)
    return answer


def _apply(
    session: Session,
    account_id: UUID,
    operation: Operation,
    seen: entries.Seen,
    *,
    key: Ed25519PrivateKey,
    now: datetime,
) -> entries.Applied | entries.Conflicting:
    entity_id = operation.entity_id
    if operation.action == "put":
        try:
            return entries.merge(
                session, account_id, entity_id, operation.fields, seen=seen, key=key, now=now
            )
        except Rejected as rejected:
            for error in rejected.errors:  # which point into the fields
                error["pointer"] = "/fields" + error["pointer"]
            raise
    try:
        return entries.remove(session, account_id, entity_id, seen=seen, now=now)
    except NotFound:
        raise Rejected("There is no such diary entry to delete.", code="not-found") from None


def _seen(
    session: Session,
    account_id: UUID,
    operation: Operation,
    before: Mapping[UUID, dict[str, Any]],
) -> tuple[entries.Seen, int]:
    """What the app showed of the entry, and the version up to which it had seen everything."""
    entity = str(operation.entity_id)
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
    # One that is not known may have covered any field: what the copy says is no proof then.
    version = operation.base_version if named <= own.keys() else 0
    through = max(version, *(left.get("version", 0) for left in own.values()), 0)
    return entries.Seen(version, covered, deletion), through


def _seen_through(outcome: entries.Applied, through: int) -> int:
    """The version up to which the app has seen everything, now that its edit is applied."""
    before = outcome.entry.version - outcome.changed
    if through > before:  # it is from before a backup was restored
        through = 0
    return outcome.entry.version if through == before else through


def _left(operation: Operation, versions: Mapping[str, int], deletion: int) -> dict[str, Any]:
    """What edits on top of this operation need: up to which version of the entry the app knew
    each field that it covers. Where it was not taken, that is what it knew beneath it."""
    entity = {"entity": str(operation.entity_id)}
    if operation.action == "delete":
        return entity | {"fields": dict(versions), "deletion": deletion}
    names = filter(is_field, operation.fields)
    return entity | {"fields": {name: versions.get(name, 0) for name in names}}


def _keep(session: Session, account_id: UUID, id_: UUID, answer: dict[str, Any]) -> None:
    statement = insert(SyncOperation).values(account_id=account_id, id=id_, answer=answer)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[SyncOperation.account_id, SyncOperation.id],
            set_={"answer": answer, "answered_at": func.now()},
        )
    )
