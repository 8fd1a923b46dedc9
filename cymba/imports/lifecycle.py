"""What a person does with an import: bring its file, look at it, confirm it, undo it.

Reading, storing and undoing take long, and are a worker's (`staging`): here only the state changes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import ColumnElement, and_, delete, func, select, true, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from cymba.accounts.audit import note_own
from cymba.accounts.references import hold_accounts
from cymba.accounts.tables import Account
from cymba.accounts.written_fields import zone_problem
from cymba.errors import Conflict, NotFound, Rejected
from cymba.imports import mapping as mappings
from cymba.imports.found import KINDS
from cymba.imports.mapping import Mapping
from cymba.imports.tables import OPEN, DataImport, ImportedReading, ImportPiece
from cymba.parts import parts
from cymba.voice import said

PIECE_BYTES: Final = 1024 * 1024
UNSTORED: Final = ("uploading", "read", "failed", "undone")
"""Where nobody works on it, and nothing of it is kept: it goes after a while."""


def pieces_of(bytes_: int) -> int:
    return -(-bytes_ // PIECE_BYTES)


def begin(
    session: Session,
    account_id: UUID,
    *,
    name: str | None,
    bytes_: int,
    max_bytes: int,
    time_zone: str,
    now: datetime,
) -> DataImport:
    """Begin to bring a file of so many bytes.

    Raises:
        Rejected: it is too large.
        Conflict: another import is not finished.
    """
    if bytes_ > max_bytes:
        raise Rejected(
            said("A file may have {most} bytes at the most.", most=max_bytes),
            code="import-too-large",
        )
    if problem := zone_problem(time_zone):
        errors = [{"pointer": "/time_zone", "detail": problem}]
        raise Rejected("The import does not fit.", code="validation", errors=errors)
    _refuse_second(session, account_id)
    made = DataImport(
        id=uuid4(),
        account_id=account_id,
        name=name,
        bytes=bytes_,
        time_zone=time_zone,
        state="uploading",
        created_at=now,
        changed_at=now,
    )
    session.add(made)
    session.flush()
    note_own(session, account_id, "import.begun", import_id=str(made.id))
    return made


def add_piece(
    session: Session, account_id: UUID, id_: UUID, number: int, data: bytes, *, now: datetime
) -> DataImport:
    """Keep a piece of the file; with the last one it waits to be read. A piece that is sent again
    changes nothing.

    Raises:
        NotFound: there is no such import, or no such piece of it.
        Rejected: it has not the length that the piece has.
    """
    row = _locked(session, account_id, id_)
    count = pieces_of(row.bytes)
    if number >= count:
        raise NotFound("The file has no such piece.")
    length = PIECE_BYTES if number < count - 1 else row.bytes - PIECE_BYTES * (count - 1)
    if len(data) != length:
        raise Rejected(said("This piece has {length} bytes.", length=length), code="piece-length")
    if row.state != "uploading":
        return row
    piece = insert(ImportPiece).values(
        import_id=id_, number=number, account_id=account_id, data=data
    )
    session.execute(
        piece.on_conflict_do_update(
            index_elements=["import_id", "number"], set_={"data": piece.excluded.data}
        )
    )
    hold_accounts(session, [account_id])
    row.changed_at = now
    if pieces_here(session, id_) == count:
        row.state = "waiting"
    session.flush()
    return row


def pieces_here(session: Session, id_: UUID) -> int:
    query = select(func.count()).select_from(ImportPiece).where(ImportPiece.import_id == id_)
    return session.scalars(query).one()


def change_mapping(
    session: Session, account_id: UUID, id_: UUID, wanted: Mapping, *, now: datetime
) -> DataImport:
    """Say what the columns mean; the file is then read anew.

    Raises:
        Conflict: it is no table, or is not read yet.
        Rejected: the mapping does not fit the table.
    """
    row = _locked(session, account_id, id_)
    if row.state != "read" or row.mapping is None or row.preview is None:
        raise _not_now()
    names = [column["name"] for column in row.preview["columns"]]
    errors = [
        {"pointer": pointer, "detail": detail}
        for pointer, detail in mappings.problems(wanted, names)
    ]
    if errors:
        raise Rejected("The mapping does not fit.", code="validation", errors=errors)
    row.mapping = msgspec.to_builtins(wanted)
    row.state, row.attempts, row.changed_at = "waiting", 0, now
    session.flush()
    return row


def confirm(session: Session, account_id: UUID, id_: UUID, *, now: datetime) -> DataImport:
    """Store what was shown. Confirming twice is harmless.

    Raises:
        Conflict: it is not read yet, or has questions.
    """
    row = _locked(session, account_id, id_)
    if row.state in {"storing", "stored"}:
        return row
    if row.state != "read" or row.preview is None:
        raise _not_now()
    if row.preview["questions"]:
        raise Conflict("Answer its questions first, by the mapping.", code="import-has-questions")
    row.state, row.attempts, row.changed_at = "storing", 0, now
    session.flush()
    note_own(session, account_id, "import.confirmed", import_id=str(id_))
    return row


def undo(session: Session, account_id: UUID, id_: UUID, *, now: datetime) -> DataImport:
    """Take away all that the import brought, or whatever there is of it. Harmless twice.

    A diary entry that the person has changed since is theirs, and stays.

    Raises:
        Conflict: another import is not finished, and may count on what this one brought.
    """
    row = _locked(session, account_id, id_)
    if row.state in {"undoing", "undone", "failed"}:
        return row
    if row.state == "stored":
        _refuse_second(session, account_id)
    session.execute(delete(ImportPiece).where(ImportPiece.import_id == id_))
    row.state, row.attempts, row.changed_at = "undoing", 0, now
    session.flush()
    note_own(session, account_id, "import.undone", import_id=str(id_))
    return row


def get(session: Session, account_id: UUID, id_: UUID) -> DataImport:
    row = session.scalars(select(DataImport).where(is_import(account_id, id_))).one_or_none()
    if row is None:
        raise NotFound("There is no such import.")
    return row


def listed(session: Session, account_id: UUID, limit: int = 100) -> Sequence[DataImport]:
    """The latest first."""
    query = select(DataImport).where(DataImport.account_id == account_id)
    newest = query.order_by(DataImport.created_at.desc(), DataImport.id.desc())
    return session.scalars(newest.limit(limit)).all()


class ReadingPage(NamedTuple):
    readings: Sequence[ImportedReading]
    next_after: tuple[datetime, bytes] | None


def readings(
    session: Session,
    account_id: UUID,
    kind: str,
    *,
    started_from: datetime | None = None,
    started_to: datetime | None = None,
    after: tuple[datetime, bytes] | None = None,
    limit: int,
) -> ReadingPage:
    """Of stored imports, the latest first; `after` is the last page's `next_after`.

    Raises:
        NotFound: there is no such kind.
    """
    if kind not in KINDS:
        raise NotFound("There is no such kind of reading.")
    row = ImportedReading
    stored = select(DataImport.id).where(
        DataImport.account_id == account_id, DataImport.state == "stored"
    )
    query = select(row).where(
        row.account_id == account_id, row.kind == kind, row.import_id.in_(stored)
    )
    if started_from is not None:
        query = query.where(row.started_at >= started_from)
    if started_to is not None:
        query = query.where(row.started_at < started_to)
    if after is not None:
        query = query.where(tuple_(row.started_at, row.digest) < after)
    query = query.order_by(row.started_at.desc(), row.digest.desc()).limit(limit + 1)
    rows = session.scalars(query).all()
    last = (rows[limit - 1].started_at, rows[limit - 1].digest) if len(rows) > limit else None
    return ReadingPage(rows[:limit], last)


def remove_unstored(session: Session, before: datetime, limit: int) -> int:
    """Remove files that nobody confirmed, and the records of imports of which nothing is kept."""
    past = and_(DataImport.state.in_(UNSTORED), DataImport.changed_at < before)
    columns = (DataImport.account_id, DataImport.id)
    query = select(*columns).where(past).order_by(DataImport.changed_at).limit(min(limit, 100))
    found = [(row.account_id, row.id) for row in session.execute(query)]
    rows: list[DataImport] = []
    for part in parts(session, {account_id for account_id, _ in found}) if found else ():
        of_part = [one for one in found if part is None or one[0] in part]
        # Named once more, for Citus.
        there = true() if part is None else DataImport.account_id.in_(part)
        query_of_part = select(DataImport).where(past, tuple_(*columns).in_(of_part), there)
        rows += session.scalars(query_of_part.with_for_update(skip_locked=True))
    for row in rows:
        if row.state in {"read", "uploading"}:  # a worker takes away what was read of it
            session.execute(delete(ImportPiece).where(ImportPiece.import_id == row.id))
            row.state, row.changed_at = "undoing", before + timedelta(microseconds=1)
        else:
            session.delete(row)
    session.flush()
    return len(rows)


def _locked(session: Session, account_id: UUID, id_: UUID) -> DataImport:
    row = find_locked(session, account_id, id_)
    if row is None:
        raise NotFound("There is no such import.")
    return row


def find_locked(session: Session, account_id: UUID, id_: UUID) -> DataImport | None:
    query = select(DataImport).where(is_import(account_id, id_)).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one_or_none()


def is_import(account_id: UUID, id_: UUID) -> ColumnElement[bool]:
    """An id alone may lie anywhere."""
    return and_(DataImport.account_id == account_id, DataImport.id == id_)


def _refuse_second(session: Session, account_id: UUID) -> None:
    session.execute(
        select(Account.id).where(Account.id == account_id).with_for_update(key_share=True)
    )
    other = select(DataImport.id).where(
        DataImport.account_id == account_id, DataImport.state.in_(OPEN)
    )
    if session.scalars(other.limit(1)).first() is not None:
        raise Conflict(
            "Another import is not finished: confirm it or undo it first.", code="import-open"
        )


def _not_now() -> Conflict:
    return Conflict("The import is not at the step for this.", code="import-step")
