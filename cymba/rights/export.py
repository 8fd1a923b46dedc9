"""Everything that is held about a person, streamed as one archive.

Rows are read through server-side cursors, as PostgreSQL's own JSON, so that an import restores them
exactly. One session's telemetry is in memory at a time. The transaction is REPEATABLE READ, so
everything is of one moment.
"""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import orjson
import pyarrow.parquet as pq
from sqlalchemy import Select, Text, case, cast, func, null, select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.database import line_of
from cymba.errors import NotFound
from cymba.fhir.record import ALL_PARTS, RecordOwner
from cymba.fhir.registry import RESOURCE_TYPES
from cymba.fhir.search import ResourceReader, legs
from cymba.open_mhealth.record import READERS, data_points
from cymba.parts import one_after_the_other
from cymba.rights.archive import Archive
from cymba.rights.personal_data import NOT_PERSONAL, PERSONAL_TABLES, PersonalTable
from cymba.rights.readable import READ_ME, SHEET_BEGINS, SHEETS, Sheet, line
from cymba.stimulation.session.arrow import as_table
from cymba.stimulation.session.queries import every_session, telemetry_of
from cymba.stimulation.tables import StimulationSession
from cymba.voice import Voice

FORMAT = "cymba-export"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TABLES = "tables/"
FHIR = "fhir/"
OPEN_MHEALTH = "open_mhealth/"
ROWS_OF_A_SHEET = 200


class ExportProgress(NamedTuple):
    """`done` of `total` steps (rows, and sessions' telemetry). `part` is what comes next."""

    done: int
    total: int
    part: str


def export(
    session: Session,
    account_id: UUID,
    *,
    schema_version: str,
    now: datetime,
    progress: Callable[[ExportProgress], None] = lambda _: None,
) -> Iterator[bytes]:
    """The archive's bytes, in pieces of some 64 KiB.

    `session` must not have begun a transaction. Its transaction stays open until the last piece, or
    until the generator is closed. It writes nothing.

    Raises:
        NotFound: there is no such account. Raised before the first piece.
    """
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    one_after_the_other(session)
    account = session.get(Account, account_id)
    if account is None:
        raise NotFound("There is no such account.")
    voice = Voice.of(account.locale)
    session.expunge_all()
    steps = _Steps(session, account_id, progress)
    archive = Archive(now)
    with archive.member("README.txt") as member:
        member.write(voice.translate(READ_ME).encode())
    for sheet in SHEETS:
        yield from _sheet(session, account_id, archive, sheet)
    yield from _telemetry(session, account_id, archive, steps)
    for holding in PERSONAL_TABLES:
        yield from _rows(session, account_id, archive, holding, steps)
    yield from _fhir(session, account_id, archive)
    yield from _open_mhealth(session, account_id, archive)
    with archive.member(MANIFEST) as member:
        member.write(_manifest(archive, account_id, schema_version, now))
    yield archive.close()


class _Steps:
    """Counts the steps done, out of all."""

    def __init__(
        self, session: Session, account_id: UUID, progress: Callable[[ExportProgress], None]
    ) -> None:
        self._progress = progress
        self._done = 0
        self._total = sum(
            session.scalar(
                select(func.count()).select_from(holding.table).where(holding.whose(account_id))
            )
            or 0
            for holding in PERSONAL_TABLES
        )
        self._total += session.scalar(_sessions(account_id, func.count())) or 0

    def add(self, steps: int, part: str) -> None:
        self._done += steps
        self._progress(ExportProgress(self._done, self._total, part))


def _sheet(session: Session, account_id: UUID, archive: Archive, sheet: Sheet) -> Iterator[bytes]:
    with archive.member(sheet.name) as member:
        member.write(SHEET_BEGINS + line(sheet.header))
        options = {"yield_per": ROWS_OF_A_SHEET}
        for row in session.execute(sheet.query(account_id), execution_options=options):
            for cells in sheet.rows(row[0] if len(row) == 1 else row):
                member.write(line(cells), rows=1)
            if archive.has_piece:
                yield archive.drain()


def _fhir(session: Session, account_id: UUID, archive: Archive) -> Iterator[bytes]:
    """A file for each resource type of which there are resources."""
    owner = RecordOwner(account_id, is_own=True)
    for one in RESOURCE_TYPES.values():
        makers = [maker for maker in legs([one], ALL_PARTS) if maker.in_archive]
        resources = ResourceReader(session, owner, makers).everything()
        yield from _lines(archive, f"{FHIR}{one.name}.ndjson", resources)


def _open_mhealth(session: Session, account_id: UUID, archive: Archive) -> Iterator[bytes]:
    for schema in READERS:
        points = data_points(session, account_id, schema)
        yield from _lines(archive, f"{OPEN_MHEALTH}{schema.file_name}", points)


def _lines(archive: Archive, name: str, objects: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """One object a line; without objects there is no file."""
    first = next(objects, None)
    if first is None:
        return
    with archive.member(name) as member:
        for one in chain([first], objects):
            member.write(orjson.dumps(one) + b"\n", rows=1)
            if archive.has_piece:
                yield archive.drain()


def _telemetry(
    session: Session, account_id: UUID, archive: Archive, steps: _Steps
) -> Iterator[bytes]:
    for found in every_session(session, account_id):
        body = io.BytesIO()
        table = as_table(telemetry_of(line_of(session), found))
        pq.write_table(table, body, compression="zstd")
        with archive.member(f"telemetry/{found.id}.parquet", compressed=False) as member:
            member.write(body.getvalue(), rows=table.num_rows)
        steps.add(1, "telemetry")
        yield archive.drain()


def _rows(
    session: Session, account_id: UUID, archive: Archive, holding: PersonalTable, steps: _Steps
) -> Iterator[bytes]:
    with archive.member(f"{TABLES}{holding.name}.jsonl") as member:
        rows = session.execute(
            as_json(holding, account_id), execution_options={"yield_per": holding.rows_at_once}
        )
        for some in rows.scalars().partitions():
            for row in some:
                member.write(row.encode() + b"\n", rows=1)
                if archive.has_piece:
                    yield archive.drain()
            steps.add(len(some), holding.about)


def as_json(holding: PersonalTable, account_id: UUID) -> Select[str]:
    """The account's rows of a table, each as one line of JSON, in the order of their keys."""
    named: list[Any] = []
    for column in holding.table.columns:
        if column.name in holding.left_out:
            continue
        withheld = holding.withheld.get(column.name)
        shown = column if withheld is None else case((withheld.when, null()), else_=column)
        named += [str(column.name), shown]  # a plain str: psycopg knows its type
    return (
        select(cast(func.json_build_object(*named), Text))
        .where(holding.whose(account_id))
        .order_by(*holding.table.primary_key.columns)
    )


def _left_out(holding: PersonalTable) -> dict[str, str]:
    """Columns that the export does not show, or not for every row, with the reasons."""
    return {**holding.left_out, **{name: one.why for name, one in holding.withheld.items()}}


def _sessions(account_id: UUID, what: Any) -> Select[Any]:
    """The sessions that have telemetry: those that were not deleted."""
    row = StimulationSession
    return select(what).where(row.account_id == account_id, row.deleted_at.is_(None))


def _manifest(archive: Archive, account_id: UUID, schema_version: str, now: datetime) -> bytes:
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema_version": schema_version,
        "account_id": str(account_id),
        "exported_at": now.astimezone(UTC),
        "members": [member.listed() for member in archive.members],
        "tables": {holding.name: holding.about for holding in PERSONAL_TABLES},
        "left_out": [
            {"table": holding.name, "column": column, "why": why}
            for holding in PERSONAL_TABLES
            for column, why in _left_out(holding).items()
        ],
        "not_personal": NOT_PERSONAL,
    }
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2)
