"""A worker's side of imports: reading the file, storing what it held, and taking it away again.

Readings are written while the file is read, and shown once the import is stored: so confirming and
undoing are one step, however many there are. A worker that dies leaves rows that nobody sees, and
the next one begins anew.
"""

import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import delete, func, select, text, tuple_
from sqlalchemy.orm import Session

from cymba.accounts.written_fields import Fields
from cymba.diary.entries import DiaryEntries
from cymba.diary.fields import ITEM
from cymba.diary.tables import DiaryEntry
from cymba.imports.found import Draft, FoundReading
from cymba.imports.lifecycle import PIECE_BYTES, find_locked, is_import
from cymba.imports.mapping import Mapping
from cymba.imports.tables import FOR_WORKERS, DataImport, ImportedReading, ImportPiece

MAX_ATTEMPTS: Final = 5
MAX_ENTRIES: Final = 20_000  # of one import: four a day for fourteen years
READINGS_AT_ONCE: Final = 5_000


class Job(NamedTuple):
    id: UUID
    account_id: UUID
    state: str
    bytes: int
    time_zone: str
    mapping: Mapping | None
    attempts: int


def due(session: Session, *, limit: int, but: Collection[UUID]) -> list[UUID]:
    """Imports to work on, which waited longest first. An account has one at a time."""
    query = (
        select(DataImport.id)
        .where(DataImport.state.in_(FOR_WORKERS), DataImport.id.not_in(but))
        .order_by(DataImport.changed_at, DataImport.id)
        .limit(limit)
    )
    return list(session.scalars(query))


def take(session: Session, id_: UUID) -> Job | None:
    """Count an attempt. None: nothing is to be done. Commit it before the work."""
    account_id = session.scalar(select(DataImport.account_id).where(DataImport.id == id_))
    row = None if account_id is None else _at_work(session, account_id, id_)
    if row is None:
        return None
    row.attempts += 1
    mapping = None if row.mapping is None else msgspec.convert(row.mapping, Mapping)
    return Job(row.id, row.account_id, row.state, row.bytes, row.time_zone, mapping, row.attempts)


def stands(session: Session, job: Job) -> bool:
    """Whether it is still to be done, held so until the transaction ends: the person may have
    dropped it, and an account may be erased."""
    query = select(DataImport.state).where(is_import(job.account_id, job.id))
    return session.scalars(query.with_for_update(read=True)).first() == job.state


def _at_work(session: Session, account_id: UUID, id_: UUID) -> DataImport | None:
    row = find_locked(session, account_id, id_)
    return row if row is not None and row.state in FOR_WORKERS else None


class PieceFile(io.RawIOBase):
    """The file as a seekable stream, of which one piece is in memory."""

    def __init__(self, size: int, load: Callable[[int], bytes]) -> None:
        self._size, self._load = size, load
        self._at, self._number, self._piece = 0, -1, b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if begin + offset < 0:
            raise ValueError("before the file begins")
        self._at = begin + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        number, place = divmod(self._at, PIECE_BYTES)
        if number != self._number:
            self._piece, self._number = self._load(number), number
        data = self._piece[place : place + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def load_piece(session: Session, job: Job, number: int) -> bytes:
    """Empty if it is gone: then so is the import."""
    piece = session.get(ImportPiece, (job.id, number))
    return b"" if piece is None else piece.data


def count_readings(session: Session, account_id: UUID) -> int:
    query = select(func.count()).where(ImportedReading.account_id == account_id)
    return session.scalars(query).one()


def stage(session: Session, job: Job, readings: Sequence[FoundReading]) -> Counter[str]:
    """Write those that are not here. How many those were, by kind."""
    columns = list(zip(*readings, strict=True))
    values = dict(zip(FoundReading._fields, map(list, columns), strict=True))
    rows = session.execute(_STAGE, values | {"account_id": job.account_id, "import_id": job.id})
    return Counter(row.kind for row in rows)


def unstage(session: Session, job: Job) -> int:
    """Delete some of its readings; how many. Call it until it deletes none."""
    row = ImportedReading
    key = (row.account_id, row.kind, row.started_at, row.digest)
    some = (
        select(*key)
        .where(row.account_id == job.account_id, row.import_id == job.id)
        .limit(READINGS_AT_ONCE)
    )
    removed = session.execute(delete(row).where(tuple_(*key).in_(some)).returning(row.kind))
    return len(removed.all())


def known_digests(session: Session, account_id: UUID, digests: Collection[bytes]) -> set[bytes]:
    """Those of rows that were brought before, also if the person deleted the entry since."""
    query = select(DiaryEntry.import_digest).where(
        DiaryEntry.account_id == account_id, DiaryEntry.import_digest.in_(digests)
    )
    return {digest for digest in session.scalars(query) if digest is not None}


def show(
    session: Session,
    job: Job,
    *,
    format_: str,
    mapping: Mapping | None,
    preview: dict[str, Any],
    now: datetime,
) -> None:
    """It was read: the person can look at it."""
    row = _at_work(session, job.account_id, job.id)
    if row is not None and row.state == job.state:
        row.format, row.preview, row.state, row.changed_at = format_, preview, "read", now
        row.mapping = None if mapping is None else msgspec.to_builtins(mapping)


def fail(session: Session, job: Job, code: str, *, now: datetime) -> None:
    """Nothing of it can be taken. Its readings were taken away before."""
    row = _at_work(session, job.account_id, job.id)
    if row is not None and row.state == job.state:
        row.state, row.failure, row.changed_at = "failed", code, now
        _wipe(session, job)


class _ImportedEntries(DiaryEntries):
    """Entries that no red flag can follow: a mapping has none among its targets."""

    def __init__(self) -> None:
        pass

    def after_write(self, session: Session, row: DiaryEntry, before: Fields, now: datetime) -> None:
        pass


def store(session: Session, job: Job, drafts: Iterable[Draft], *, now: datetime) -> None:
    """Write the entries, which are not here yet, and show the readings."""
    entries = _ImportedEntries()
    for draft in drafts:
        fields = {"felt_at": draft.felt_at, "time_zone": draft.time_zone, "note": draft.note}
        fields |= {f"{ITEM}{name}": value for name, value in draft.items.items()}
        row = entries.add(session, job.account_id, uuid4(), fields, now=now)
        row.import_id, row.import_digest = job.id, draft.digest
    session.flush()
    done = session.get_one(DataImport, job.id)
    done.state, done.changed_at = "stored", now
    _wipe(session, job)


def unstore(session: Session, job: Job, *, now: datetime) -> None:
    """Delete the entries, but not those that the person has changed. Its readings are gone."""
    entries, kept = _ImportedEntries(), 0
    rows = session.scalars(
        select(DiaryEntry)
        .where(DiaryEntry.account_id == job.account_id, DiaryEntry.import_id == job.id)
        .with_for_update()
    )
    for row in rows.all():
        if row.deleted_at is None and row.version > 1:
            kept += 1  # its digest stays too: the row is not brought twice
            continue
        row.import_id = row.import_digest = None
        if row.deleted_at is None:
            entries.erase(session, row, now=now)
    session.flush()
    done = session.get_one(DataImport, job.id)
    done.state, done.kept, done.changed_at = "undone", kept, now
    _wipe(session, job)


def _wipe(session: Session, job: Job) -> None:
    """The file is not needed any more."""
    session.execute(delete(ImportPiece).where(ImportPiece.import_id == job.id))


_STAGE = text(
    """
    WITH given AS MATERIALIZED (
      SELECT * FROM unnest(CAST(:kind AS text[]), CAST(:started_at AS timestamptz[]),
          CAST(:ended_at AS timestamptz[]), CAST(:value AS float8[]), CAST(:stage AS text[]),
          CAST(:source AS text[]), CAST(:digest AS bytea[]))
        AS g (kind, started_at, ended_at, value, stage, source, digest)),
    written AS (
      INSERT INTO imported_reading (account_id, import_id, kind, started_at, ended_at, value, stage,
          source, digest)
      SELECT :account_id, :import_id, kind, started_at, ended_at, value, stage, source, digest
      FROM given
      ON CONFLICT DO NOTHING
      RETURNING kind)
    SELECT kind FROM written
    """
)
