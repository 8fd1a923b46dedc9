"""A table of another diary: looked through once for its columns, then read by a mapping."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import floor, isfinite
from typing import Any, BinaryIO, Final
from zoneinfo import ZoneInfo

from cymba.accounts.written_fields import LATEST_AHEAD
from cymba.imports import table_text
from cymba.imports.found import EARLIEST, Draft, Found, LeftOut, NotTaken, digest
from cymba.imports.mapping import (
    SCALED,
    TARGETS,
    Format,
    ItemColumn,
    Mapping,
    format_of,
    propose,
)
from cymba.imports.table_text import TableRow, names_of
from cymba.imports.table_times import DayEvidence, DayOrder, place, read_clock, read_day
from cymba.notes import MAX_NOTE

EXAMPLES: Final = 12  # distinct values of a column that are shown
_EXAMPLE_CHARACTERS: Final = 60
_HOURS: Final = re.compile(
    r"([0-9]{1,2})\s*(?::|h)\s*(?:([0-9]{1,2})\s*(?:m|min)?)?", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,9}(?:[.,][0-9]{1,9})?")
_NUMBERING: Final = "#"  # a column that counts the rows: it says nothing of one


@dataclass(slots=True)
class Column:
    name: str
    filled: int = 0
    values: list[str] = field(default_factory=list)  # distinct, the first ones
    days: DayEvidence = field(default_factory=DayEvidence)
    looks_like_days: int = 0

    def add(self, cell: str) -> None:
        if not cell:
            return
        self.filled += 1
        self.days.add(cell)
        self.looks_like_days += read_day(cell, "dmy") is not None or (
            read_day(cell, "mdy") is not None
        )
        shown = cell[:_EXAMPLE_CHARACTERS]
        if len(self.values) < EXAMPLES and shown not in self.values:
            self.values.append(shown)


@dataclass(frozen=True, slots=True)
class Survey:
    """What a table is, before anybody says what its columns mean."""

    format: Format
    encoding: str
    delimiter: str
    header_line: int
    columns: tuple[Column, ...]
    rows: int

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str | None) -> Column | None:
        return next((one for one in self.columns if one.name == name), None)

    def proposed(self, time_zone: str) -> Mapping:
        made = propose(self.format, self.names, time_zone)
        if made.date is None:
            likely = max(self.columns, key=lambda one: one.looks_like_days)
            if likely.looks_like_days * 2 > self.rows > 0:
                made = Mapping(time_zone, likely.name, items=made.items, notes=made.notes)
        return made

    def order_of(self, mapping: Mapping) -> DayOrder | None:
        """That of the table's own days where they tell, else the mapping's."""
        column = self.column(mapping.date)
        return (column.days.order if column else None) or mapping.day_order

    def questions(self, mapping: Mapping) -> list[dict[str, str | None]]:
        """What is to be answered, by a mapping, before the table can be taken."""
        asked: list[dict[str, str | None]] = []
        dates = self.column(mapping.date)
        if dates is None:
            asked.append({"code": "date", "column": None})
        elif dates.days.is_needed and self.order_of(mapping) is None:
            asked.append({"code": "day-order", "column": dates.name})
        asked += [
            {"code": "scale", "column": one.column} for one in mapping.items if one.lacks_scale
        ]
        if not mapping.items and not mapping.notes:
            asked.append({"code": "items", "column": None})
        return asked


def survey(file: BinaryIO) -> Survey:
    """
    Raises:
        NotTaken: there is no table in it.
    """
    encoding = table_text.encoding_of(file)
    delimiter = table_text.delimiter_of(file, encoding)
    header = _header(table_text.sample(file, encoding, delimiter))
    names = names_of(header.cells)
    columns = [Column(name) for name in names]
    count = 0
    with table_text.rows(file, encoding, delimiter) as rows:
        for row in rows:
            if row.line > header.line:
                count += 1
                for column, cell in zip(columns, row.cells, strict=False):
                    column.add(cell)
    return Survey(
        format_of(names) or "csv", encoding, delimiter, header.line, tuple(columns), count
    )


def _header(rows: Sequence[TableRow]) -> TableRow:
    known = [row for row in rows if format_of(names_of(row.cells))]
    usual = [row for row in rows if sum(map(bool, row.cells)) > 1]
    if not known and not usual:
        raise NotTaken("no-table")
    return (known or usual)[0]


def drafts(file: BinaryIO, seen: Survey, mapping: Mapping, *, now: datetime) -> Iterator[Found]:
    """An entry for each row that the mapping takes something of."""
    reader = _RowReader(seen, mapping, now)
    with table_text.rows(file, seen.encoding, seen.delimiter) as rows:
        for row in rows:
            if row.line > seen.header_line:
                yield from reader.found(row)


class _RowReader:
    def __init__(self, seen: Survey, mapping: Mapping, now: datetime) -> None:
        self._names, self._mapping, self._now = seen.names, mapping, now
        self._order = seen.order_of(mapping)
        self._zone = ZoneInfo(mapping.time_zone)
        default = read_clock(mapping.default_time)
        self._default = default.at if default else datetime.min.time()

    def found(self, row: TableRow) -> Iterator[Found]:
        if row.wrong is not None:
            yield LeftOut(row.wrong, row.line)
            return
        if any(row.cells[len(self._names) :]):
            yield LeftOut("too-many-columns", row.line)
            return
        cells = dict(zip(self._names, row.cells, strict=False))
        items: dict[str, Any] = {}
        notes = [(name, cells.get(name, "")) for name in self._mapping.notes]
        taken = False
        for one in self._mapping.items:
            text = cells.get(one.column, "")
            if not text or not all(each.holds(cells) for each in one.where):
                continue
            taken = True
            value = _value(one, text)
            if isinstance(value, str):
                yield LeftOut(value, row.line)
                continue
            items[one.item] = value
            if _is_converted(one):
                notes.append(("", f"{one.column}: {text}{_scale_text(one)}"))
        note = _note(notes)
        if items or (note and any(cells.get(name) for name in self._mapping.notes)):
            yield self._draft(row.line, cells, items, note)
        elif not taken:
            yield LeftOut("nothing-mapped", row.line)

    def _draft(
        self, line: int, cells: dict[str, str], items: dict[str, Any], note: str | None
    ) -> Found:
        if note is not None and len(note) > MAX_NOTE:
            return LeftOut("note-too-long", line)
        date_text = cells.get(self._mapping.date or "", "")
        day = read_day(date_text, self._order)
        if day is None:
            return LeftOut("no-time", line)
        hour_text = cells.get(self._mapping.time or "", "") or day[1]
        clock = read_clock(hour_text) if hour_text else None
        at = clock.at if clock else self._default
        offset = clock.offset if clock else None
        minutes = _number(cells.get(self._mapping.utc_offset_min or "", ""))
        if offset is None and minutes is not None and abs(minutes) <= 14 * 60:
            offset = timedelta(minutes=minutes)
        try:
            if offset is not None:
                felt_at = datetime.combine(day[0], at, UTC) - offset
                said_twice = False
            else:
                placed = place(day[0], at, self._zone)
                if placed is None:
                    return LeftOut("no-such-time", line)
                felt_at, said_twice = placed
        except OverflowError:
            return LeftOut("no-time", line)
        if not EARLIEST <= felt_at <= self._now + LATEST_AHEAD:
            return LeftOut("no-time", line)
        if clock is None and hour_text:
            note = _note([("", note or ""), ("", f"{self._mapping.time or 'time'}: {hour_text}")])
        return Draft(
            felt_at,
            self._mapping.time_zone,
            items,
            note,
            _row_digest(cells),
            without_time=clock is None,
            said_twice=said_twice,
        )


def _value(column: ItemColumn, text: str) -> float | str:
    """The item's value, or the reason why there is none."""
    item = TARGETS[column.item]
    given = {word.casefold(): number for word, number in column.words.items()}
    value: float | None = given.get(text.casefold())
    if value is None and column.words and column.scale is None:
        return "unknown-word"
    if value is None:
        value = _number(text)
        if value is None and item.name not in SCALED:
            value = _hours(text)
        if value is None:
            return "not-a-number"
        if column.scale is not None and item.name in SCALED:
            low, high = column.scale.low, column.scale.high
            if not min(low, high) <= value <= max(low, high):
                return "beyond-scale"
            value = (value - low) / (high - low) * 10
    if item.name in SCALED:
        value = floor(value + 0.5)
    value = int(value) if float(value).is_integer() else value
    return "not-in-range" if list(item.value.problems(value)) else value


def _is_converted(column: ItemColumn) -> bool:
    scale = column.scale
    return bool(column.words) or (scale is not None and (scale.low, scale.high) != (0, 10))


def _scale_text(column: ItemColumn) -> str:
    scale = column.scale
    return f" ({scale.low:g}–{scale.high:g})" if scale is not None else ""


def _number(text: str) -> float | None:
    match = _NUMBER.fullmatch(text)
    value = float(match[0].replace(",", ".")) if match else None
    return value if value is not None and isfinite(value) else None


def _hours(text: str) -> float | None:
    """`7:30`, `7h 30m`."""
    match = _HOURS.fullmatch(text)
    if match is None or int(match[2] or 0) > 59:
        return None
    return round(int(match[1]) + int(match[2] or 0) / 60, 2)


def _note(parts: Sequence[tuple[str, str]]) -> str | None:
    """Named where there are several."""
    said = [(name, text) for name, text in parts if text]
    if len(said) == 1:
        return said[0][1]
    return "\n".join(f"{name}: {text}" if name else text for name, text in said) or None


def _row_digest(cells: dict[str, str]) -> bytes:
    """Of what the row says, whatever the mapping takes of it, and in whichever order of columns."""
    said = sorted((name, cell) for name, cell in cells.items() if cell and name != _NUMBERING)
    return digest(part for pair in said for part in pair)
