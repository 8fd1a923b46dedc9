"""The rows that data points are made of, a few at a time. Every query names the account."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from cymba.database import columns_of, line_of
from cymba.diary.tables import DiaryEntry
from cymba.imports.found import FoundReading
from cymba.imports.tables import BROUGHT_BY, DataImport, ImportedReading
from cymba.open_mhealth.mappings import BROUGHT, CHANNELS, of_entry, of_reading, of_session
from cymba.open_mhealth.points import (
    HEART_RATE,
    RR_INTERVAL,
    SLEEP_EPISODE,
    TIME_IN_BED,
    TOTAL_SLEEP_TIME,
    BodySchema,
    DataPoint,
)
from cymba.stimulation.session.queries import every_session, telemetry_of

ROWS_AT_ONCE: Final = 200

Read = Callable[[Session, UUID], Iterator[DataPoint]]


def _measured(session: Session, account_id: UUID, *, schema: BodySchema) -> Iterator[DataPoint]:
    channels = [name for name, about in CHANNELS.items() if about.schema == schema]
    for one in every_session(session, account_id):
        measured = telemetry_of(line_of(session), one, channels=channels)
        yield from of_session(one, account_id, measured)


def _brought(session: Session, account_id: UUID, *, schema: BodySchema) -> Iterator[DataPoint]:
    row = ImportedReading
    # A stage is null of what is no span, and `IN` finds no null.
    kinds = [(kind, stage or "") for (kind, stage), one in BROUGHT.items() if one.schema == schema]
    query = (
        select(*columns_of(row, FoundReading))
        .join(DataImport, BROUGHT_BY)
        .where(row.account_id == account_id, DataImport.state == "stored")
        .where(tuple_(row.kind, func.coalesce(row.stage, "")).in_(kinds))
        .order_by(row.kind, row.started_at, row.digest)
    )
    for found in session.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield from of_reading(FoundReading(*found), account_id)


def _written(session: Session, account_id: UUID) -> Iterator[DataPoint]:
    row = DiaryEntry
    # One of another app is left out: its hour or its scale may be an assumption.
    query = (
        select(row)
        .where(row.account_id == account_id, row.deleted_at.is_(None), row.import_id.is_(None))
        .where(row.items.has_key("sleep_hours"))
        .order_by(row.felt_at, row.id)
    )
    for entry in session.scalars(query, execution_options={"yield_per": ROWS_AT_ONCE}):
        yield from of_entry(entry, account_id)


READERS: Final[Mapping[BodySchema, tuple[Read, ...]]] = {
    HEART_RATE: (partial(_measured, schema=HEART_RATE), partial(_brought, schema=HEART_RATE)),
    RR_INTERVAL: (partial(_measured, schema=RR_INTERVAL),),
    TOTAL_SLEEP_TIME: (_written,),
    SLEEP_EPISODE: (partial(_brought, schema=SLEEP_EPISODE),),
    TIME_IN_BED: (partial(_brought, schema=TIME_IN_BED),),
}


def data_points(session: Session, account_id: UUID, schema: BodySchema) -> Iterator[DataPoint]:
    """Each comes by itself: the rows are read through server-side cursors, and the readings of one
    session are in memory at a time."""
    for read in READERS[schema]:
        yield from read(session, account_id)
