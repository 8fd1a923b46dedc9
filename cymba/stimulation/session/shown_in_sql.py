"""Sessions as they are shown (`shown`), written as JSON by PostgreSQL: those that a device alone
recorded, near all there are. What other witnesses wrote down is joined to them here."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, literal_column

from cymba.json_rows import ShownAs
from cymba.stimulation.session.shown import NAMES
from cymba.stimulation.written.tables import WrittenFigures


def recorded_in_sql(session: Any, shown_as: ShownAs) -> list[ColumnElement[Any]]:
    """`recorded_shown` of a session without other witnesses, in SQL."""
    nothing: ColumnElement[Any] = literal_column("NULL")
    empty_list: ColumnElement[Any] = literal_column("CAST('[]' AS json)")
    empty_object: ColumnElement[Any] = literal_column("CAST('{}' AS json)")
    columns = {
        **{name: session[name] for name in NAMES},
        "recorder": literal_column("CAST('device' AS text)"),
        "model": nothing,
        "site": session.programme.op("->")(literal_column("'site'")),
        "side": session.programme.op("->")(literal_column("'side'")),
        "shown_with": nothing,
        "witnesses": empty_list,
        "told_by": empty_object,
        "written": nothing,
        "to_confirm": empty_list,
    }
    return [shown_as(name, column).label(name) for name, column in columns.items()]


class ReadWritten(WrittenFigures, msgspec.Struct):
    """A row of `WrittenSession`, read from its JSON: objects of the ORM cost ten times as much."""

    id: UUID
    recorder: str
    device_id: str | None
    model: str | None
    started_at: datetime
    time_zone: str
    duration_s: int
    native_level: int | None
    level_changes: list[dict[str, Any]] | None
    amplitude_ua: int | None
    site: str | None
    side: str | None
    note: str | None
    excluded: bool
    same_as: UUID | None
    shown_with: UUID | None
    written_at: datetime
    version: int
    changed_at: datetime


read_written = msgspec.json.Decoder(ReadWritten).decode
read_written_rows = msgspec.json.Decoder(list[ReadWritten]).decode
