"""Apple Health's `export.xml`: pulse, HRV (SDNN) and sleep, read as a stream.

The file begins with a document type that some versions of iOS write with errors. It says nothing
that is needed, so it is cut away unread; one that declares entities or names another file is
refused, and the parser refuses any that is left. Names are interned by the parser and elements
nested on its stack, so both are bounded, as is the length of one tag.

Apple writes each time with the offset that the phone had when it exported: the moment is certain,
where the person was is not.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO, Final
from xml.parsers import expat

from cymba.imports.found import Found, FoundReading, LeftOut, NotTaken, reading

ROOT: Final = "HealthData"
_CHUNK_BYTES: Final = 64 * 1024
_MAX_HEAD_BYTES: Final = 512 * 1024  # before the root begins
_MAX_TAG_BYTES: Final = 1024 * 1024
_MAX_NAMES: Final = 5_000  # of elements and attributes; Apple has some hundred
_MAX_DEPTH: Final = 16

# By Apple's type: ours, and for each unit that Apple may write the factor to our own.
_QUANTITIES: Final = {
    "HKQuantityTypeIdentifierHeartRate": ("heart_rate", {"count/min": 1.0, "count/s": 60.0}),
    "HKQuantityTypeIdentifierRestingHeartRate": (
        "resting_heart_rate",
        {"count/min": 1.0, "count/s": 60.0},
    ),
    "HKQuantityTypeIdentifierHeartRateVariabilitySDNN": ("hrv_sdnn", {"ms": 1.0, "s": 1000.0}),
}
_SLEEP: Final = "HKCategoryTypeIdentifierSleepAnalysis"
_STAGES: Final = {
    "HKCategoryValueSleepAnalysisInBed": "in_bed",
    "HKCategoryValueSleepAnalysisAsleep": "asleep",
    "HKCategoryValueSleepAnalysisAsleepUnspecified": "asleep",
    "HKCategoryValueSleepAnalysisAsleepCore": "light",  # Apple's "core" sleep is N1 and N2
    "HKCategoryValueSleepAnalysisAsleepDeep": "deep",
    "HKCategoryValueSleepAnalysisAsleepREM": "rem",
    "HKCategoryValueSleepAnalysisAwake": "awake",
}
_DOCTYPE: Final = re.compile(rb"<!DOCTYPE\s[^\[>]*(?:\[(.*?)\]\s*)?>", re.DOTALL)


def is_health_data(head: bytes) -> bool:
    """By the beginning of a file."""
    return b"<HealthData" in head or b"<!DOCTYPE HealthData" in head


def readings(file: BinaryIO, *, now: datetime) -> Iterator[Found]:
    """
    Raises:
        NotTaken: it is not Apple's, or made to harm. Raised where that is met: the readings
        before it were given.
    """
    return _Parser(now).run(file)


class _Parser:
    def __init__(self, now: datetime) -> None:
        self._now = now
        self._found: list[Found] = []
        self._depth = 0
        parser = self._parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = False
        parser.specified_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse
        parser.EntityDeclHandler = _refuse
        parser.ExternalEntityRefHandler = _refuse

    def run(self, file: BinaryIO) -> Iterator[Found]:
        fed = 0
        for chunk in _without_doctype(file):
            self._feed(chunk, final=False)
            fed += len(chunk)
            yield from self._taken()
            if fed - self._parser.CurrentByteIndex > _MAX_TAG_BYTES:
                raise NotTaken("broken-xml")
            if len(self._parser.intern) > _MAX_NAMES:
                raise NotTaken("broken-xml")
        self._feed(b"", final=True)
        yield from self._taken()

    def _feed(self, data: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            raise NotTaken("broken-xml") from error

    def _taken(self) -> list[Found]:
        found, self._found = self._found, []
        return found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name != ROOT:
            raise NotTaken("unknown-format")
        if self._depth > _MAX_DEPTH:
            raise NotTaken("broken-xml")
        if name == "Record":
            self._found.append(self._record(attributes))

    def _end(self, _name: str) -> None:
        self._depth -= 1

    def _record(self, about: dict[str, str]) -> FoundReading | LeftOut:
        type_, line = about.get("type", ""), self._parser.CurrentLineNumber
        if type_ not in _QUANTITIES and type_ != _SLEEP:
            return LeftOut("other-kind", line)
        started_at, ended_at = _time(about.get("startDate")), _time(about.get("endDate"))
        if started_at is None or ended_at is None:
            return LeftOut("no-time", line)
        if type_ == _SLEEP:
            stage = _STAGES.get(about.get("value", ""))
            if stage is None:
                return LeftOut("unknown-stage", line)
            return self._reading("sleep", started_at, ended_at, about, stage=stage)
        kind, factors = _QUANTITIES[type_]
        return self._quantity(kind, factors, started_at, ended_at, about)

    def _quantity(
        self,
        kind: str,
        factors: dict[str, float],
        started_at: datetime,
        ended_at: datetime,
        about: dict[str, str],
    ) -> FoundReading | LeftOut:
        factor = factors.get(about.get("unit", ""))
        if factor is None:
            return LeftOut("unknown-unit", self._parser.CurrentLineNumber)
        value = _number(about.get("value", ""))
        if value is None:
            return LeftOut("not-a-number", self._parser.CurrentLineNumber)
        return self._reading(kind, started_at, ended_at, about, value=value * factor)

    def _reading(
        self,
        kind: str,
        started_at: datetime,
        ended_at: datetime,
        about: dict[str, str],
        **more: Any,
    ) -> FoundReading | LeftOut:
        source, line = about.get("sourceName", ""), self._parser.CurrentLineNumber
        return reading(kind, started_at, ended_at, source=source, now=self._now, line=line, **more)


def _refuse(*_: object) -> int:
    raise NotTaken("xml-entities")


def _without_doctype(file: BinaryIO) -> Iterator[bytes]:
    """The file in chunks. In place of the document type come its line breaks alone."""
    head = b""
    while b"<" + ROOT.encode() not in head:
        chunk = file.read(_CHUNK_BYTES)
        if not chunk or len(head) > _MAX_HEAD_BYTES:
            break
        head += chunk
    match = _DOCTYPE.search(head)
    if match is not None:
        if b"<!ENTITY" in match[0] or re.search(rb"^\S+\s+\S+\s+(SYSTEM|PUBLIC)\b", match[0]):
            raise NotTaken("xml-entities")
        head = head[: match.start()] + b"\n" * match[0].count(b"\n") + head[match.end() :]
    yield head
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _time(text: str | None) -> datetime | None:
    """`2026-03-01 07:30:00 +0100`."""
    if text is None or len(text) != 25 or text[19] != " ":
        return None
    try:
        return datetime.fromisoformat(text[:19] + text[20:])
    except ValueError:
        return None


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
