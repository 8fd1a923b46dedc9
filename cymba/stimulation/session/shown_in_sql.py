"""Sessions as they are shown (`shown`), written as JSON by PostgreSQL: those that a device alone
recorded, near all there are. What other witnesses wrote down is joined to them here."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import orjson
from sqlalchemy import ColumnElement, literal_column

from cymba.json_rows import ShownAs
from cymba.stimulation.session.shown import (
    NAMES,
    Shown,
    by_session,
    recorded_shown,
    written_shown,
)
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


class _WithId(msgspec.Struct):
    id: UUID


_read_ids = msgspec.json.Decoder(list[_WithId]).decode
_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


def read_recorded_rows(rows: str) -> dict[UUID, str]:
    """Recorded sessions of a list in JSON by their ids, each as it was written."""
    ids = (one.id for one in _read_ids(rows))
    return dict(zip(ids, (bytes(one).decode() for one in _split(rows)), strict=True))


def with_witnesses(
    ids: Iterable[UUID],
    recorded: Mapping[UUID, str],
    written: Mapping[UUID, ReadWritten],
    witnesses: Iterable[ReadWritten],
) -> list[Shown | str]:
    """The sessions in the order of the ids; whoever has two of an id has the device's. What a
    device alone recorded stays JSON."""
    of_session = by_session(witnesses)
    items: list[Shown | str] = []
    for id_ in ids:
        others = of_session.get(id_, ())
        if id_ not in recorded:
            items.append(written_shown(written[id_], others))
        elif others:
            items.append(recorded_shown(orjson.loads(recorded[id_]), others))
        else:
            items.append(recorded[id_])
    return items
