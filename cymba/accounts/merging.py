"""Things that a person writes on several phones, offline too: merged field by field.

Each kind of thing says what its fields are (`Mergeable`); how edits meet is the same for all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ForeignKey, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from cymba.accounts.changes import Kind, announce
from cymba.accounts.written_fields import Fields, normal
from cymba.database import CreatedAt
from cymba.errors import Gone, NotFound, Rejected
from cymba.voice import said

Match = Callable[[int | None], None]
"""Raises unless whoever writes has seen this version of what is stored; None: nothing is."""


class MergedColumns:
    """The columns of a thing that is merged.

    The app makes the id, so the key holds the account too: nobody can take another's id. What was
    deleted stays as an empty tombstone, which remembers the versions that merging needs.
    """

    account_id: Mapped[UUID] = mapped_column(
        ForeignKey("account.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    written_at: Mapped[datetime]
    version: Mapped[int]
    # The version at which each field last changed ("felt_at", "items.pain_now" …): what lets two
    # phones edit different fields of one thing without a conflict.
    field_versions: Mapped[dict[str, int]] = mapped_column(JSONB)
    deleted_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


Row = TypeVar("Row", bound=MergedColumns)


@dataclass(frozen=True, slots=True)
class Applied(Generic[Row]):
    row: Row
    changed: bool

    @property
    def is_new(self) -> bool:
        return self.changed and self.row.version == 1


@dataclass(frozen=True, slots=True)
class Conflicting(Generic[Row]):
    """Nothing was applied: someone else changed these very fields since the writer's copy."""

    row: Row
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a writer saw when it edited a thing.

    That is a copy of it, with the writer's own earlier edits on top that the copy did not hold yet.
    They hide what the copy holds in the fields that they cover.
    """

    version: int  # of the copy; 0: the writer had none
    # By covered field, the version up to which the writer knew it. An own deletion covers every
    # field; its version is 0 if it was not applied.
    covered: Mapping[str, int] = field(default_factory=dict)
    deletion: int | None = None

    def copy_version(self, row: MergedColumns) -> int:
        # A copy newer than the row is from before a restore of a backup: it proves nothing.
        return self.version if self.version <= row.version else 0

    def up_to(self, name: str, row: MergedColumns) -> int:
        """The version of the row up to which the writer knew the field."""
        own = [at for at in (self.covered.get(name), self.deletion) if at is not None]
        return max(own) if own else self.copy_version(row)

    def unseen(self, names: Iterable[str], row: MergedColumns) -> tuple[str, ...]:
        of_row = row.field_versions
        newer = (name for name in names if of_row.get(name, 0) > self.up_to(name, row))
        return tuple(sorted(newer))


class Mergeable(ABC, Generic[Row]):
    """A kind of thing that a person writes: what its fields are, and how its rows are edited."""

    kind: ClassVar[Kind]
    noun: ClassVar[str]  # "diary entry"
    required: ClassVar[frozenset[str]]  # fields without which there is none
    table: type[Row]

    @abstractmethod
    def is_field(self, name: str) -> bool: ...

    @abstractmethod
    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        """`(pointer, detail)` of each problem in the value of a field."""

    @abstractmethod
    def values(self, row: Row) -> dict[str, Any]:
        """The fields of a row that is not deleted."""

    @abstractmethod
    def fill(self, row: Row, fields: Fields) -> None:
        """Set the row's columns from all of its fields."""

    @abstractmethod
    def empty(self, row: Row) -> None:
        """Erase the person's words from a row that is deleted."""

    def check_whole(self, session: Session, account_id: UUID, id_: UUID, fields: Fields) -> None:
        """Raise `Rejected` where fields that fit by themselves do not fit together."""

    def before_write(self, session: Session, account_id: UUID) -> None:
        """Called before a row is locked for writing."""

    def after_write(self, session: Session, row: Row, before: Fields, now: datetime) -> None:
        """Called in the transaction of each change; `before`: what the fields were, none of a new
        thing."""

    def flat(self, row: Row) -> dict[str, Any]:
        """The row's fields; none of a tombstone."""
        return {} if row.deleted_at is not None else self.values(row)

    def checked(self, fields: Fields, *, now: datetime) -> dict[str, Any]:
        """The normal fields; raises `Rejected` with a pointer for each that does not fit."""
        fields = normal(fields)
        errors = [
            {"pointer": "/" + name.replace(".", "/") + pointer, "detail": detail}
            for name, value in fields.items()
            for pointer, detail in self._problems(name, value, now)
        ]
        if errors:
            raise Rejected(
                said("The {noun} does not fit.", noun=self.noun), code="validation", errors=errors
            )
        return fields

    def _problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        if not self.is_field(name):
            yield "", "unknown item" if name.startswith("items.") else "unknown field"
        elif value is not None or name in self.required:
            yield from self.problems(name, value, now)

    def _require_whole(self, session: Session, account_id: UUID, id_: UUID, fields: Fields) -> None:
        missing = sorted(name for name in self.required if fields.get(name) is None)
        if missing:
            raise Rejected(
                said("The {noun} is not complete.", noun=self.noun),
                code="validation",
                errors=[{"pointer": f"/{name}", "detail": "is required"} for name in missing],
            )
        self.check_whole(session, account_id, id_, fields)

    def merge(
        self,
        session: Session,
        account_id: UUID,
        id_: UUID,
        fields: Fields,
        *,
        seen: Seen,
        now: datetime,
    ) -> Applied[Row] | Conflicting[Row]:
        """Apply the fields that a writer changed on what it had seen.

        Fields that others changed meanwhile are kept, and only the same field changed to two
        values is a conflict; then nothing is applied. Writing what is already there changes
        nothing.

        Raises:
            Rejected: a field does not fit, or a required one is missing from a new thing.
        """
        fields = self.checked(fields, now=now)
        row = self._locked(session, account_id, id_)
        if row is None:
            return Applied(self._create(session, account_id, id_, fields, now), changed=True)
        current = self.flat(row)
        changed = {name: value for name, value in fields.items() if current.get(name) != value}
        if row.deleted_at is not None:
            if max(seen.copy_version(row), seen.deletion or 0) < row.version:
                return Conflicting(row, tuple(sorted(fields)))
        elif clashing := seen.unseen(changed, row):
            return Conflicting(row, clashing)
        if not changed:
            return Applied(row, changed=False)
        whole = {**current, **changed}
        self._require_whole(session, account_id, id_, whole)  # it comes back whole or not at all
        self._write(session, row, whole, changed, now)
        return Applied(row, changed=True)

    def remove(
        self, session: Session, account_id: UUID, id_: UUID, *, seen: Seen, now: datetime
    ) -> Applied[Row] | Conflicting[Row]:
        """Delete what the writer has seen, leaving a tombstone.

        A field that another writer has edited since is a conflict: no words are lost unread.
        """
        row = self._locked(session, account_id, id_)
        if row is None:
            raise self._not_found()
        if row.deleted_at is not None:
            return Applied(row, changed=False)
        if newer := seen.unseen(row.field_versions, row):
            return Conflicting(row, newer)
        return self._erase(session, row, now)

    def put(
        self,
        session: Session,
        account_id: UUID,
        id_: UUID,
        fields: Fields,
        *,
        match: Match,
        now: datetime,
    ) -> Applied[Row]:
        """Make the thing exactly `fields`. The same content again changes nothing and needs no
        match.

        Raises:
            Rejected: a field does not fit.
            Gone: it was deleted; its id is not used again this way.
            PreconditionRequired, PreconditionFailed: `match` refuses to change the stored version.
        """
        fields = self.checked(fields, now=now)
        row = self._locked(session, account_id, id_)
        if row is None:
            match(None)
            return Applied(self._create(session, account_id, id_, fields, now), changed=True)
        if row.deleted_at is not None:
            raise Gone(
                said(
                    "This {noun} was deleted; write a new one, with an id of its own.",
                    noun=self.noun,
                )
            )
        whole = {name: value for name, value in fields.items() if value is not None}
        current = {name: value for name, value in self.flat(row).items() if value is not None}
        if whole == current:
            return Applied(row, changed=False)
        match(row.version)
        self._require_whole(session, account_id, id_, fields)
        changed = {
            name: whole.get(name)
            for name in whole.keys() | current.keys()
            if whole.get(name) != current.get(name)
        }
        self._write(session, row, whole, changed, now)
        return Applied(row, changed=True)

    def delete(
        self, session: Session, account_id: UUID, id_: UUID, *, match: Match, now: datetime
    ) -> Applied[Row]:
        """Delete the thing at the version that `match` accepts; deleting it twice is harmless.

        Raises:
            NotFound, PreconditionRequired, PreconditionFailed.
        """
        row = self._locked(session, account_id, id_)
        if row is None:
            raise self._not_found()
        if row.deleted_at is not None:
            return Applied(row, changed=False)
        match(row.version)
        return self._erase(session, row, now)

    def add(
        self, session: Session, account_id: UUID, id_: UUID, fields: Fields, *, now: datetime
    ) -> Row:
        """Write a thing under an id that was drawn for it just now, so that nobody else can."""
        return self._create(session, account_id, id_, self.checked(fields, now=now), now)

    def erase(self, session: Session, row: Row, *, now: datetime) -> None:
        """Delete a thing that the caller has locked and looked at."""
        self._erase(session, row, now)

    def find(self, session: Session, account_id: UUID, id_: UUID) -> Row | None:
        """The account's own, also if it is deleted."""
        return session.get(self.table, (account_id, id_))

    def get(self, session: Session, account_id: UUID, id_: UUID) -> Row:
        """The account's own, or `NotFound`, also if it is deleted or another's."""
        row = self.find(session, account_id, id_)
        if row is None or row.deleted_at is not None:
            raise self._not_found()
        return row

    def lock(self, session: Session, account_id: UUID, id_: UUID) -> Row:
        """As it is now, locked, so that its version can be checked; `NotFound` as `get`."""
        row = self._locked(session, account_id, id_)
        if row is None or row.deleted_at is not None:
            raise self._not_found()
        return row

    def _not_found(self) -> NotFound:
        return NotFound(said("There is no such {noun}.", noun=self.noun))

    def _locked(self, session: Session, account_id: UUID, id_: UUID) -> Row | None:
        self.before_write(session, account_id)
        # The row may not exist yet, so a lock on it could not keep two creations apart.
        key = func.hashtextextended(f"{account_id}/{id_}", 0)
        session.execute(select(func.pg_advisory_xact_lock(key)))
        return session.get(
            self.table, (account_id, id_), with_for_update=True, populate_existing=True
        )

    def _create(
        self, session: Session, account_id: UUID, id_: UUID, fields: Fields, now: datetime
    ) -> Row:
        self._require_whole(session, account_id, id_, fields)
        row = self.table()
        row.account_id, row.id, row.written_at = account_id, id_, now
        row.version, row.field_versions = 0, {}
        session.add(row)
        self._write(session, row, fields, fields, now)
        return row

    def _write(
        self, session: Session, row: Row, whole: Fields, changed: Fields, now: datetime
    ) -> None:
        before = self.flat(row) if row.version else {}
        row.version += 1
        self.fill(row, whole)
        row.field_versions = row.field_versions | dict.fromkeys(changed, row.version)
        row.deleted_at = None
        row.changed_at = now
        session.flush()
        announce(session, row.account_id, self.kind, row.id)
        self.after_write(session, row, before, now)

    def _erase(self, session: Session, row: Row, now: datetime) -> Applied[Row]:
        before = self.values(row)
        self.empty(row)
        row.deleted_at = row.changed_at = now
        row.version += 1
        # If it comes back, a writer who has not seen the deletion knows none of its fields.
        row.field_versions = dict.fromkeys(row.field_versions, row.version)
        session.flush()
        announce(session, row.account_id, self.kind, row.id, deleted=True)
        self.after_write(session, row, before, now)
        return Applied(row, changed=True)
