"""Diary entries: how they are merged, and how they are read by pages."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import ColumnElement, Uuid, any_, bindparam, case, literal_column, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from cymba.accounts.merging import Mergeable
from cymba.accounts.written_fields import LONG_AGO, Fields
from cymba.database import Prepared, array_of, columns_of
from cymba.devices.red_flags import raise_red_flag
from cymba.diary import fields as entry_fields
from cymba.diary.tables import DiaryEntry, ReadEntry
from cymba.json_rows import ShownAs

KIND: Final = "diary-entry"


class DiaryEntries(Mergeable[DiaryEntry]):
    """`key` signs the programmes without a current that follow a red flag."""

    kind = KIND
    noun = "diary entry"
    required = frozenset({"felt_at", "time_zone"})
    table = DiaryEntry

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def is_field(self, name: str) -> bool:
        return entry_fields.is_field(name)

    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        return entry_fields.problems(name, value, now)

    def values(self, row: DiaryEntry) -> dict[str, Any]:
        return entry_fields.values(row)

    def fill(self, row: DiaryEntry, fields: Fields) -> None:
        row.felt_at = fields["felt_at"]
        row.time_zone = fields["time_zone"]
        row.session_id = fields.get("session_id")
        row.note = fields.get("note")
        row.items = {
            name.removeprefix(entry_fields.ITEM): value
            for name, value in fields.items()
            if name.startswith(entry_fields.ITEM) and value is not None
        }

    def empty(self, row: DiaryEntry) -> None:
        row.items, row.note, row.session_id = {}, None, None

    def after_write(self, session: Session, row: DiaryEntry, before: Fields, now: datetime) -> None:
        said = self.flat(row).items()
        changed = {name: value for name, value in said if before.get(name) != value}
        for symptom in entry_fields.red_flags(changed):
            # In the entry's own transaction, so that no red flag is stored without its lock.
            raise_red_flag(
                session, self._key, row.account_id, symptom, felt_at=row.felt_at, now=now
            )


_BY_IDS = Prepared(
    select(*columns_of(DiaryEntry, ReadEntry)).where(
        DiaryEntry.account_id == bindparam("account_id", type_=Uuid()),
        DiaryEntry.id == any_(bindparam("ids", type_=ARRAY(Uuid()))),
        DiaryEntry.deleted_at.is_(None),
    )
)


def read_entries(
    line: psycopg.Connection[Any], account_id: UUID, ids: Iterable[UUID | str]
) -> list[ReadEntry]:
    """Those of these entries that there are."""
    rows = _BY_IDS.rows(line, account_id=account_id, ids=array_of(ids))
    return list(map(ReadEntry._make, rows))


def entry_in_sql(entry: Any, shown_as: ShownAs) -> list[ColumnElement[Any]]:
    """An entry as it is shown, in SQL; of one that `is_marked` the edge adds its marks."""
    empty_list: ColumnElement[Any] = literal_column("CAST('[]' AS json)")
    unlikely: ColumnElement[Any] = literal_column("""CAST('["felt_at"]' AS json)""")
    # In hours: a day has 23 or 25 where the connection's zone changes its clocks.
    long_before = entry.written_at - literal_column(f"interval '{LONG_AGO.days * 24} hours'")
    columns = {name: shown_as(name, entry[name]) for name in ReadEntry._fields} | {
        "scores": literal_column("CAST('{}' AS json)"),
        "red_flags": empty_list,
        "advice": literal_column("NULL"),
        "to_confirm": case((entry.felt_at < long_before, unlikely), else_=empty_list),
    }
    return [column.label(name) for name, column in columns.items()]


def is_marked(entry: Any) -> ColumnElement[bool]:
    names = ", ".join(f"'{name}'" for name in sorted(entry_fields.MARKED))
    return entry["items"].has_any(literal_column(f"ARRAY[{names}]"))  # type: ignore[no-any-return]


class EntryPage(NamedTuple):
    entries: list[DiaryEntry]
    next_after: tuple[datetime, UUID] | None


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
