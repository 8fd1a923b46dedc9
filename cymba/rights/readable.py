"""The CSV files of an archive, for a spreadsheet. One row here adds a sheet."""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Select, select

from cymba.accounts.tables import AuditEntry, Consent
from cymba.devices.tables import Device, DeviceTenure
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.imports.found import KINDS
from cymba.imports.tables import BROUGHT_BY, DataImport, ImportedReading
from cymba.insights.tables import Finding
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import Remark, WrittenSession

# Where a spreadsheet may see the beginning of a cell, and what it then takes for a formula. In some
# locales it splits at another sign than we do, and ignores our quotes.
_BEGINS = r"(^|[;,|\t\r\n\v\f\x85\u2028\u2029])"
_SIGNS = r"=+\-@\uff1d\uff0b\uff0d\uff20"  # the last four as wide as a Chinese character
_FORMULA = re.compile(rf"{_BEGINS}(?=[ \xa0\"']{{0,8}}[{_SIGNS}])|^(?=[\t\r])")

# Without a byte order mark some spreadsheets take UTF-8 for the machine's old encoding, and show
# "Rücken" as "RÃ¼cken".
SHEET_BEGINS = codecs.BOM_UTF8

Cell = str | int | float | bool | datetime | UUID | None


@dataclass(frozen=True, slots=True)
class Sheet:
    """`rows` makes the lines for one row of `query`: a diary entry has one for each item."""

    name: str
    header: Sequence[str]
    query: Callable[[UUID], Select[*tuple[Any, ...]]]
    rows: Callable[[Any], Iterator[Sequence[Cell]]]


def line(cells: Sequence[Cell]) -> bytes:
    """A line of CSV (RFC 4180), in UTF-8.

    What a spreadsheet would take for a formula gets an apostrophe before it, as OWASP advises
    ("CSV injection"): another person's text must not run on this person's machine.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_plain(cell) for cell in cells])
    return text.getvalue().encode()


def _plain(cell: Cell) -> str | int | float:
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case datetime():
            return cell.isoformat(timespec="seconds")
        case UUID():
            return str(cell)
        case str():
            return _FORMULA.sub(r"\g<0>'", cell)
        case _:
            return cell


def _local(at: datetime, time_zone: str) -> str:
    return at.astimezone(ZoneInfo(time_zone)).strftime("%Y-%m-%d %H:%M:%S")


def _scaled(value: float | None, scale: float, digits: int) -> float | None:
    return None if value is None else round(value / scale, digits)


def _kept(row: Any, at: Any) -> Callable[[UUID], Select[*tuple[Any, ...]]]:
    """Rows that were not deleted, in the order of their times."""
    return lambda account_id: (
        select(row)
        .where(row.account_id == account_id, row.deleted_at.is_(None))
        .order_by(at, row.id)
    )


def _fields(*names: str) -> Callable[[Any], Iterator[Sequence[Cell]]]:
    read = attrgetter(*names)
    return lambda row: iter([read(row)])


def _session(row: StimulationSession) -> Iterator[Sequence[Cell]]:
    yield (
        row.id,
        row.device_id,
        row.started_at,
        row.ended_at,
        _local(row.started_at, row.time_zone),
        row.time_zone,
        row.time_source,
        round(row.time_error_ms / 1000, 3),
        row.state,
        row.end_reason,
        _scaled(row.stimulating_s, 60, 2),
        round(row.contact_lost_s, 1),
        _scaled(row.delivered_charge_uc, 1000, 4),
        _scaled(row.mean_amplitude_ua, 1000, 3),
        _scaled(row.max_amplitude_ua, 1000, 3),
        _scaled(row.mean_native_level, 1, 2),
        row.max_native_level,
        row.heart_rate_before_bpm,
        row.heart_rate_during_bpm,
        row.rmssd_ms,
        row.completeness,
        row.excluded,
        row.note,
    )


def _written_session(row: WrittenSession) -> Iterator[Sequence[Cell]]:
    yield (
        row.id,
        row.recorder,
        row.device_id,
        row.model,
        row.started_at,
        _local(row.started_at, row.time_zone),
        row.time_zone,
        round(row.duration_s / 60, 2),
        _scaled(row.mean_native_level, 1, 2),
        _scaled(row.amplitude_ua, 1000, 3),
        row.site,
        row.side,
        row.shown_with,
        row.excluded,
        row.note,
    )


def _imported_reading(row: ImportedReading) -> Iterator[Sequence[Cell]]:
    yield (
        row.kind,
        row.started_at,
        row.ended_at,
        row.value,
        KINDS[row.kind].unit,
        row.stage,
        row.source,
    )


def _remark(row: Remark) -> Iterator[Sequence[Cell]]:
    yield (
        row.id,
        row.what,
        row.said_of,
        _local(row.said_of, row.time_zone),
        row.time_zone,
        row.device_id,
        row.model,
        row.note,
    )


def _entry(row: DiaryEntry) -> Iterator[Sequence[Cell]]:
    moment = (row.id, row.felt_at, _local(row.felt_at, row.time_zone), row.time_zone)
    for name, value in sorted(row.items.items()):
        item = ITEMS.get(name)
        shown = value if isinstance(value, int | float | str) else msgspec.json.encode(value)
        text = shown.decode() if isinstance(shown, bytes) else shown
        title, unit = (item.title, item.unit) if item else (name, None)
        yield (*moment, row.session_id, name, title, text, unit)
    if row.note is not None:
        yield (*moment, row.session_id, "note", "Note", row.note, None)


def _audit_entry(row: AuditEntry) -> Iterator[Sequence[Cell]]:
    detail = msgspec.json.encode(row.detail).decode() if row.detail else ""
    yield row.at, row.claimed_at, row.actor_kind, row.actor_id, row.action, detail


SHEETS: tuple[Sheet, ...] = (
    Sheet(
        "sessions.csv",
        (
            "id",
            "device",
            "started_at",
            "ended_at",
            "started_local",
            "time_zone",
            "time_source",
            "time_error_s",
            "state",
            "end_reason",
            "stimulating_min",
            "contact_lost_s",
            "delivered_charge_mc",
            "mean_amplitude_ma",
            "max_amplitude_ma",
            "mean_native_level",
            "max_native_level",
            "heart_rate_before_bpm",
            "heart_rate_during_bpm",
            "rmssd_ms",
            "completeness",
            "left_out_of_insights",
            "note",
        ),
        _kept(StimulationSession, StimulationSession.started_at),
        _session,
    ),
    Sheet(
        "written_sessions.csv",
        (
            "id",
            "recorder",
            "device",
            "model",
            "started_at",
            "started_local",
            "time_zone",
            "duration_min",
            "native_level",
            "amplitude_ma",
            "site",
            "side",
            "shown_as",
            "left_out_of_insights",
            "note",
        ),
        _kept(WrittenSession, WrittenSession.started_at),
        _written_session,
    ),
    Sheet(
        "remarks.csv",
        ("id", "what", "said_of", "said_of_local", "time_zone", "device", "model", "note"),
        _kept(Remark, Remark.said_of),
        _remark,
    ),
    Sheet(
        "diary.csv",
        (
            "entry",
            "felt_at",
            "felt_local",
            "time_zone",
            "session",
            "item",
            "title",
            "value",
            "unit",
        ),
        _kept(DiaryEntry, DiaryEntry.felt_at),
        _entry,
    ),
    Sheet(
        "readings.csv",
        ("kind", "started_at", "ended_at", "value", "unit", "stage", "source"),
        lambda account_id: (
            select(ImportedReading)
            .join(DataImport, BROUGHT_BY)
            .where(ImportedReading.account_id == account_id, DataImport.state == "stored")
            .order_by(ImportedReading.kind, ImportedReading.started_at, ImportedReading.digest)
        ),
        _imported_reading,
    ),
    Sheet(
        "devices.csv",
        ("device", "serial", "model", "name", "claimed_at", "released_at"),
        lambda account_id: (
            select(DeviceTenure, Device)
            .join(Device, Device.id == DeviceTenure.device_id)
            .where(DeviceTenure.account_id == account_id)
            .order_by(DeviceTenure.claimed_at)
        ),
        _fields(
            "Device.id",
            "Device.serial",
            "Device.model",
            "DeviceTenure.name",
            "DeviceTenure.claimed_at",
            "DeviceTenure.released_at",
        ),
    ),
    Sheet(
        "insights.csv",
        ("exposure", "outcome", "lag_days", "grade", "pairs", "effect", "low", "high"),
        lambda account_id: (
            select(Finding)
            .where(Finding.account_id == account_id)
            .order_by(Finding.exposure, Finding.outcome, Finding.lag)
        ),
        _fields("exposure", "outcome", "lag", "grade", "milestone", "effect", "low", "high"),
    ),
    Sheet(
        "consents.csv",
        ("purpose", "text_version", "text_language", "text_sha256", "given_at", "withdrawn_at"),
        lambda account_id: (
            select(Consent).where(Consent.account_id == account_id).order_by(Consent.given_at)
        ),
        _fields(
            "purpose", "text_version", "text_language", "text_sha256", "given_at", "withdrawn_at"
        ),
    ),
    Sheet(
        "audit.csv",
        ("at", "claimed_at", "who", "id", "action", "detail"),
        lambda account_id: (
            select(AuditEntry).where(AuditEntry.account_id == account_id).order_by(AuditEntry.id)
        ),
        _audit_entry,
    ),
)

READ_ME = """\
This archive holds what Cymba keeps about you.

sessions.csv, diary.csv, …   to read, in any spreadsheet. Times are UTC unless they say otherwise.
                             What a spreadsheet would take for a formula has an apostrophe before
                             it here; tables/ has it as it was written.
telemetry/                   what your device measured, one Parquet file for each session: channel,
                             unit, time, milliseconds since the session began, value. A row without
                             a value says that readings are missing from there on.
fhir/                        for other systems, by the standard HL7 FHIR R4: one JSON object a line.
open_mhealth/                heart rate, RR intervals and sleep for other systems, by IEEE 1752 and
                             Open mHealth: one JSON object a line.
tables/                      everything, as Cymba stores it: one JSON object a line. Another Cymba
                             takes it in with `cymba account import`.
manifest.json                what is here, with counts and SHA-256 sums, and what was left out.

insights.csv shows links between days. A link is not a cause, and none of this is medical
advice.
"""
