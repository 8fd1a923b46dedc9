"""What a file from elsewhere holds: readings, diary entries, and what was not understood of it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from cymba.accounts.written_fields import LATEST_AHEAD

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)  # what is before it is a zero of some clock
MAX_SOURCE: Final = 100  # characters of an app's or a watch's name
LONGEST_SLEEP: Final = timedelta(hours=48)
DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class ReadingKind:
    """One kind of reading. HRV by SDNN and by RMSSD are two: neither follows from the other."""

    name: str
    title: str
    unit: str | None  # UCUM; None: it is a span of time, with a stage
    low: float = 0.0  # bounds refuse slips and broken sensors, not illness
    high: float = 0.0


KINDS: Final = {
    kind.name: kind
    for kind in (
        ReadingKind("heart_rate", "Heart rate", "/min", 20, 300),
        ReadingKind("resting_heart_rate", "Resting heart rate", "/min", 20, 300),
        ReadingKind("hrv_sdnn", "Heart rate variability, SDNN", "ms", 0, 2_000),
        ReadingKind("hrv_rmssd", "Heart rate variability, RMSSD", "ms", 0, 2_000),
        ReadingKind("sleep", "Sleep", None),
    )
}
STAGES: Final = (
    "session", "in_bed", "asleep", "awake", "out_of_bed", "light", "deep", "rem",
    "unknown",
)  # fmt: skip

REASONS: Final = {
    "other-kind": "It is of a kind that Cymba does not keep.",
    "no-time": "Its time could not be read.",
    "not-in-range": "Its value is beyond what can be.",
    "not-a-number": "Its value is no number.",
    "unknown-unit": "Its unit is not known here.",
    "unknown-stage": "Its sleep stage is not known here.",
    "unknown-word": "Its word has no number in the mapping.",
    "beyond-scale": "Its value is not on the scale that the mapping names.",
    "nothing-mapped": "The mapping takes nothing of this row.",
    "line-too-long": "The line is too long to read.",
    "not-text": "The line holds what is no text.",
    "quote-not-closed": "A quotation mark has no end.",
    "too-many-columns": "It has more cells than the table has columns.",
    "note-too-long": "Its note is longer than an entry can hold.",
    "no-such-time": "The clock was put forward then: there was no such time.",
}
"""Why something was left out, by its code."""

FAILURES: Final = {
    "unknown-format": "The file is none that Cymba can read.",
    "broken-archive": "The archive is damaged, or of a kind that cannot be read.",
    "encrypted": "The archive is locked with a password.",
    "unpacks-too-large": "The archive unpacks to more than is allowed.",
    "broken-xml": "The XML is damaged.",
    "xml-entities": "The XML declares entities, which no export needs.",
    "broken-database": "The database in the file is damaged, or not as it must be.",
    "broken-text": "The text is in no encoding that Cymba can read.",
    "no-table": "The file holds no table with a first row of names.",
    "too-many-readings": "It holds more readings than one account may keep.",
    "too-many-entries": "It holds more diary entries than one import may bring.",
    "too-slow": "It took too long to read.",
    "gave-up": "Reading it failed several times.",
}
"""Why a whole file was not taken, by its code."""


class NotTaken(Exception):
    """Nothing of the file can be taken."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class FoundReading(NamedTuple):
    kind: str
    started_at: datetime
    ended_at: datetime
    value: float | None  # in the kind's unit; None of sleep
    stage: str | None  # of sleep alone
    source: str
    digest: bytes  # the same for the same reading in every file


class Draft(NamedTuple):
    """A diary entry that is to be written."""

    felt_at: datetime
    time_zone: str
    items: dict[str, Any]
    note: str | None
    digest: bytes
    without_time: bool = False  # its hour is the mapping's
    said_twice: bool = False  # the clock was put back: its hour came twice, and the first is taken


class LeftOut(NamedTuple):
    reason: str
    line: int | None = None


Found = FoundReading | Draft | LeftOut


def reading(
    kind: str,
    started_at: datetime,
    ended_at: datetime,
    *,
    source: str,
    value: float | None = None,
    stage: str | None = None,
    source_id: str | None = None,
    now: datetime,
    line: int | None = None,
) -> FoundReading | LeftOut:
    """Without `source_id` it is known again by all that it says."""
    about = KINDS[kind]
    if not EARLIEST <= started_at <= ended_at <= now + LATEST_AHEAD:
        return LeftOut("no-time", line)
    if about.unit is not None and (value is None or not about.low <= value <= about.high):
        return LeftOut("not-in-range", line)
    if about.unit is None and not started_at < ended_at <= started_at + LONGEST_SLEEP:
        return LeftOut("no-time", line)
    source = source.replace("\0", "").strip()[:MAX_SOURCE]
    said = (
        (kind, source_id)
        if source_id is not None
        else (kind, source, started_at, ended_at, value, stage)
    )
    return FoundReading(kind, started_at, ended_at, value, stage, source, digest(map(_plain, said)))


def digest(parts: Iterable[str]) -> bytes:
    """Parts cannot run into each other."""
    return hashlib.blake2b(json.dumps(list(parts)).encode(), digest_size=DIGEST_BYTES).digest()


def _plain(part: object) -> str:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else str(part)
