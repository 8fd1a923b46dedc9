"""Observations of what a watch or another sensor measured, that the person brought by an import.

HRV by SDNN and by RMSSD are two measures; only SDNN has a code of LOINC. Spans of sleep are no
Observation here: they are no hours slept, and overlap. The person alone reads them, as elsewhere.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from cymba.fhir.dates import all_in_sql
from cymba.fhir.parts import (
    LOINC,
    Resource,
    coding,
    concept,
    date_time,
    extension,
    observation_category,
    own,
    period,
    quantity,
    reference,
    resource,
    text,
)
from cymba.fhir.record import RecordOwner, RecordRow, RowBatch, RowKey, RowsAsked, Source
from cymba.fhir.resource_type import Maker
from cymba.imports.found import KINDS
from cymba.imports.tables import DataImport, ImportedReading


@dataclass(frozen=True, slots=True)
class _ShownKind:
    begins: str  # of its resources' ids
    loinc: str | None
    category: str = "vital-signs"


SHOWN: Final[Mapping[str, _ShownKind]] = {
    "heart_rate": _ShownKind("hr", "8867-4"),
    "resting_heart_rate": _ShownKind("rhr", "8867-4"),
    "hrv_sdnn": _ShownKind("sdnn", "80404-7", "procedure"),
    "hrv_rmssd": _ShownKind("rmssd", None, "procedure"),
}
_ID = re.compile(r"([a-z]{2,5})\.(-?[0-9a-f]{1,14})\.([0-9a-f]{32})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class _ReadingOf(NamedTuple):
    reading: ImportedReading
    updated_at: datetime


def _id(reading: ImportedReading) -> str:
    since = (reading.started_at - _EPOCH) // _MICROSECOND
    return f"{SHOWN[reading.kind].begins}.{since:x}.{reading.digest.hex()}"


def _key(id_: str) -> tuple[str, datetime, bytes] | None:
    found = _ID.fullmatch(id_)
    if found is None:
        return None
    try:
        return found[1], _EPOCH + int(found[2], 16) * _MICROSECOND, bytes.fromhex(found[3])
    except OverflowError:
        return None


def _of(kind: str) -> Source:
    def read(session: Session, ask: RowsAsked) -> RowBatch:
        row, stored = ImportedReading, DataImport
        query = (
            select(row, stored.changed_at)
            .join(stored, stored.id == row.import_id)
            .where(row.account_id == ask.owner.account_id, row.kind == kind)
            .where(stored.account_id == ask.owner.account_id, stored.state == "stored")
            .where(all_in_sql(ask.wanted.at, row.started_at, row.ended_at))
            .where(all_in_sql(ask.wanted.updated, stored.changed_at, stored.changed_at))
        )
        place = tuple_(row.started_at, row.digest)
        if ask.wanted.ids is not None:
            keys = [key for id_ in ask.wanted.ids if (key := _key(id_)) is not None]
            named = [key[1:] for key in keys if key[0] == SHOWN[kind].begins]
            query = query.where(place.in_(named))
        after = None if ask.after is None else _key(ask.after.id)
        if after is not None:
            query = query.where(place < after[1:])
        order = (row.started_at.desc(), row.digest.desc())
        rows = [
            RecordRow(
                one.started_at, _id(one), one.ended_at, updated_at, _ReadingOf(one, updated_at)
            )
            for one, updated_at in session.execute(query.order_by(*order).limit(ask.limit))
        ]
        is_last = len(rows) < ask.limit
        return RowBatch(rows, None if is_last else RowKey(rows[-1].at, rows[-1].id))

    return Source(f"imported {kind}", "own", read)


def _observation(read: _ReadingOf, owner: RecordOwner) -> Iterator[Resource]:
    reading, person = read.reading, reference("Patient", owner.account_id)
    about, shown, source = KINDS[reading.kind], SHOWN[reading.kind], text(reading.source)
    standard = [coding(LOINC, shown.loinc)] if shown.loinc else []
    if reading.value is None:
        return
    is_moment = reading.started_at == reading.ended_at
    effective: dict[str, Any] = (
        {"effectiveDateTime": date_time(reading.started_at)}
        if is_moment
        else {"effectivePeriod": period(reading.started_at, reading.ended_at)}
    )
    code = own("reading", about.name, about.title)
    yield resource(
        "Observation",
        _id(reading),
        {
            "extension": [extension("source", valueString=source)] if source else None,
            # Whoever made the file vouches for it, and the person can undo its import.
            "status": "preliminary",
            "category": observation_category(shown.category),
            "code": concept(about.title, *standard, code),
            "subject": person,
            **effective,
            "valueQuantity": quantity(reading.value, about.unit or "1"),
        },
        updated_at=read.updated_at,
    )


MAKERS: Final = tuple(Maker(_of(kind), _observation, in_archive=False) for kind in SHOWN)
