"""Entries: checked, written, deleted, and merged field by field when two phones edit offline."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce
from cymba.devices.red_flags import raise_red_flag
from cymba.diary.fields import Fields, checked, flat, red_flags, require_complete
from cymba.diary.tables import DiaryEntry
from cymba.errors import Gone, NotFound

KIND: Final = "diary-entry"

Match = Callable[[int | None], None]
"""Raises unless whoever writes has seen this version of what is stored; None: nothing is."""


@dataclass(frozen=True, slots=True)
class Applied:
    entry: DiaryEntry
    changed: bool


@dataclass(frozen=True, slots=True)
class Conflicting:
    """Nothing was applied: someone else changed these very fields since the writer's copy."""

    entry: DiaryEntry
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a writer had before its eyes when it edited an entry.

    That is a copy of the entry, and on top of it the writer's own earlier edits which the copy
    did not hold yet. A field that those cover shows nothing of what the copy says there.
    """

    version: int  # of the copy; 0: the writer had none
    # By covered field, the version up to which the writer knew it. An own deletion covers every
    # field; its version is 0 where it was not taken.
    covered: Mapping[str, int] = field(default_factory=dict)
    deletion: int | None = None

    def copy_version(self, entry: DiaryEntry) -> int:
        # A copy newer than the entry is from before a backup was restored: it vouches for nothing.
        return self.version if self.version <= entry.version else 0

    def up_to(self, name: str, entry: DiaryEntry) -> int:
        """The version of the entry up to which the writer knew what became of a field."""
        own = [at for at in (self.covered.get(name), self.deletion) if at is not None]
        return max(own) if own else self.copy_version(entry)

    def unseen(self, names: Iterable[str], entry: DiaryEntry) -> tuple[str, ...]:
        versions = entry.field_versions
        return tuple(
            sorted(name for name in names if versions.get(name, 0) > self.up_to(name, entry))
        )


class EntryPage(NamedTuple):
    entries: list[DiaryEntry]
    next_after: tuple[datetime, UUID] | None


def merge(
    session: Session,
    account_id: UUID,
    entry_id: UUID,
    fields: Fields,
    *,
    seen: Seen,
    key: Ed25519PrivateKey,
    now: datetime,
) -> Applied | Conflicting:
    """Apply the fields that a writer changed on what it had seen.
    `key` signs the programmes without a current that follow a red flag.

    Fields that others changed meanwhile are kept, and only the same field changed to two values
    is a conflict; then nothing is applied. Writing what is already there changes nothing.

    Raises:
        Rejected: a field does not fit, or a new entry lacks `felt_at` or `time_zone`.
    """
    fields = checked(fields, now=now)
    entry = _locked(session, account_id, entry_id)
    if entry is None:
        return Applied(
            _create(session, account_id, entry_id, fields, key=key, now=now), changed=True
        )
    current = flat(entry)
    changed = {name: value for name, value in fields.items() if current.get(name) != value}
    if entry.deleted_at is not None:
        if max(seen.copy_version(entry), seen.deletion or 0) < entry.version:
            return Conflicting(entry, tuple(sorted(fields)))
    elif clashing := seen.unseen(changed, entry):
        return Conflicting(entry, clashing)
    if not changed:
        return Applied(entry, changed=False)
    require_complete(current | changed)  # a deleted entry comes back whole or not at all
    _write(session, entry, current | changed, changed, key=key, now=now)
    return Applied(entry, changed=True)


def remove(
    session: Session, account_id: UUID, entry_id: UUID, *, seen: Seen, now: datetime
) -> Applied | Conflicting:
    """Delete the entry that the writer has seen, leaving a tombstone.

    An entry that another writer has edited since is a conflict: nobody's words vanish unread.
    """
    entry = _locked(session, account_id, entry_id)
    if entry is None:
        raise NotFound("There is no such diary entry.")
    if entry.deleted_at is not None:
        return Applied(entry, changed=False)
    if newer := seen.unseen(entry.field_versions, entry):
        return Conflicting(entry, newer)
    entry.items, entry.note, entry.session_id = {}, None, None
    entry.deleted_at = entry.changed_at = now
    entry.version += 1
    # Should it come back: whoever has not seen the deletion knows no field of what comes back.
    entry.field_versions = dict.fromkeys(entry.field_versions, entry.version)
    session.flush()
    announce(session, account_id, KIND, entry_id, deleted=True)
    return Applied(entry, changed=True)


def put(
    session: Session,
    account_id: UUID,
    entry_id: UUID,
    fields: Fields,
    *,
    match: Match,
    key: Ed25519PrivateKey,
    now: datetime,
) -> Applied:
    """Make the entry exactly `fields`. The same content again changes nothing and needs no match.

    Raises:
        Rejected: a field does not fit.
        Gone: the entry was deleted; its id is not used again this way.
        PreconditionRequired, PreconditionFailed: `match` refuses to change the stored version.
    """
    fields = checked(fields, now=now)
    entry = _locked(session, account_id, entry_id)
    if entry is None:
        match(None)
        made = _create(session, account_id, entry_id, fields, key=key, now=now)
        return Applied(made, changed=True)
    if entry.deleted_at is not None:
        raise Gone("This diary entry was deleted; write a new one, with an id of its own.")
    whole = {name: value for name, value in fields.items() if value is not None}
    current = {name: value for name, value in flat(entry).items() if value is not None}
    if whole == current:
        return Applied(entry, changed=False)
    match(entry.version)
    require_complete(fields)
    changed = {
        name: whole.get(name)
        for name in whole.keys() | current.keys()
        if whole.get(name) != current.get(name)
    }
    _write(session, entry, whole, changed, key=key, now=now)
    session.flush()
    return Applied(entry, changed=True)


def delete(
    session: Session, account_id: UUID, entry_id: UUID, *, match: Match, now: datetime
) -> Applied:
    """Delete the entry at the version that `match` accepts; deleting it twice is harmless.

    Raises:
        NotFound, PreconditionRequired, PreconditionFailed.
    """
    entry = _locked(session, account_id, entry_id)
    if entry is None:
        raise NotFound("There is no such diary entry.")
    if entry.deleted_at is not None:
        return Applied(entry, changed=False)
    match(entry.version)
    outcome = remove(session, account_id, entry_id, seen=Seen(entry.version), now=now)
    assert isinstance(outcome, Applied)  # noqa: S101 - the row is locked at this very version
    return outcome


def get(session: Session, account_id: UUID, entry_id: UUID) -> DiaryEntry:
    """The account's own entry; `NotFound` for a deleted one and another's as for none."""
    entry = session.get(DiaryEntry, (account_id, entry_id))
    if entry is None or entry.deleted_at is not None:
        raise NotFound("There is no such diary entry.")
    return entry


def page(
    session: Session,
    account_id: UUID,
    *,
    felt_from: datetime | None = None,
    felt_to: datetime | None = None,
    item: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> EntryPage:
    """Entries felt in [from, to), newest first; `after` is the last page's `next_after`."""
    query = select(DiaryEntry).where(
        DiaryEntry.account_id == account_id, DiaryEntry.deleted_at.is_(None)
    )
    if felt_from is not None:
        query = query.where(DiaryEntry.felt_at >= felt_from)
    if felt_to is not None:
        query = query.where(DiaryEntry.felt_at < felt_to)
    if item is not None:
        query = query.where(DiaryEntry.items.has_key(item))
    if after is not None:
        query = query.where(tuple_(DiaryEntry.felt_at, DiaryEntry.id) < after)
    query = query.order_by(DiaryEntry.felt_at.desc(), DiaryEntry.id.desc()).limit(limit + 1)
    rows = list(session.scalars(query))
    more = len(rows) > limit
    entries = rows[:limit]
    return EntryPage(entries, (entries[-1].felt_at, entries[-1].id) if more else None)


def _locked(session: Session, account_id: UUID, entry_id: UUID) -> DiaryEntry | None:
    # The row may not exist yet, so a lock on it could not keep two creations apart.
    key = func.hashtextextended(f"{account_id}/{entry_id}", 0)
    session.execute(select(func.pg_advisory_xact_lock(key)))
    return session.get(
        DiaryEntry, (account_id, entry_id), with_for_update=True, populate_existing=True
    )


def _create(
    session: Session,
    account_id: UUID,
    entry_id: UUID,
    fields: Fields,
    *,
    key: Ed25519PrivateKey,
    now: datetime,
) -> DiaryEntry:
    require_complete(fields)
    entry = DiaryEntry(account_id=account_id, id=entry_id, version=0, field_versions={})
    entry.written_at = now
    _write(session, entry, fields, fields, key=key, now=now)
    session.add(entry)
    session.flush()
    return entry


def _write(
    session: Session,
    entry: DiaryEntry,
    whole: Fields,
    changed: Fields,
    *,
    key: Ed25519PrivateKey,
    now: datetime,
) -> None:
    entry.version += 1
    entry.felt_at = whole["felt_at"]
    entry.time_zone = whole["time_zone"]
    entry.session_id = whole.get("session_id")
    entry.note = whole.get("note")
    entry.items = {
        name.removeprefix("items."): value
        for name, value in whole.items()
        if name.startswith("items.") and value is not None
    }
    entry.field_versions = entry.field_versions | dict.fromkeys(changed, entry.version)
    entry.deleted_at = None
    entry.changed_at = now
    announce(session, entry.account_id, KIND, entry.id)
    for symptom in red_flags(changed):
        # In the entry's own transaction: what was written is never without its lock.
        raise_red_flag(session, key, entry.account_id, symptom, felt_at=entry.felt_at, now=now)
