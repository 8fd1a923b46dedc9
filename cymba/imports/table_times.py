"""Days and hours as people's tables write them. What has two meanings is asked, never guessed."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

DayOrder = Literal["dmy", "mdy"]

_ISO: Final = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")
_DOTS: Final = re.compile(r"([0-9]{1,2})\.\s?([0-9]{1,2})\.\s?([0-9]{4}|[0-9]{2})")
_SLASHES: Final = re.compile(r"([0-9]{1,2})[/-]([0-9]{1,2})[/-]([0-9]{4}|[0-9]{2})")
_DAY_FIRST: Final = re.compile(
    r"([0-9]{1,2})(?:st|nd|rd|th|\.)?\s+([^\W\d_]{3,9})\.?,?\s+([0-9]{4})"
)
_MONTH_FIRST: Final = re.compile(
    r"([^\W\d_]{3,9})\.?\s+([0-9]{1,2})(?:st|nd|rd|th)?,?\s+([0-9]{4})"
)
_CLOCK: Final = re.compile(
    r"([0-9]{1,2})[:.]([0-9]{2})(?:[:.]([0-9]{2})(?:[.,][0-9]{1,9})?)?"
    r"\s*([ap])?\.?(?(4)m\.?|)\s*(?:Uhr)?\s*(Z|[+-][0-9]{2}:?[0-9]{2})?",
    re.IGNORECASE,
)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar jän jänner",
            "feb february februar",
            "mar march märz mär mrz",
            "apr april",
            "may mai",
            "jun june juni",
            "jul july juli",
            "aug august",
            "sep sept september",
            "oct october okt oktober",
            "nov november",
            "dec december dez dezember",
        ),
        1,
    )
    for name in names.split()
}


class ClockTime(NamedTuple):
    at: time
    offset: timedelta | None  # from UTC, where the text says it


@dataclass(slots=True)
class DayEvidence:
    """What a table's days say of their order: 25/3 can only be day and month."""

    orders: Counter[str] = field(default_factory=Counter)

    def add(self, text: str) -> None:
        match = _SLASHES.match(text)
        if match is not None and _ISO.match(text) is None:
            first, second = int(match[1]), int(match[2])
            sure = "dmy" if first > 12 >= second else "mdy" if second > 12 >= first else "either"
            self.orders[sure] += 1

    @property
    def order(self) -> DayOrder | None:
        """None: the days do not tell, or contradict each other."""
        dmy, mdy = self.orders["dmy"], self.orders["mdy"]
        if (dmy > 0) == (mdy > 0):
            return None
        return "dmy" if dmy else "mdy"

    @property
    def is_needed(self) -> bool:
        return self.orders.total() > 0


def read_day(text: str, order: DayOrder | None) -> tuple[date, str] | None:
    """The day with which a text begins, and the rest of it."""
    for form, parts in ((_ISO, "ymd"), (_DOTS, "dmy"), (_SLASHES, order)):
        match = form.match(text)
        if match is not None and parts is not None:
            given = dict(zip(parts, map(int, match.groups()), strict=True))
            return _day(given["y"], given["m"], given["d"], text[match.end() :])
    match = _DAY_FIRST.match(text)
    if match is not None:
        return _day(int(match[3]), _month(match[2]), int(match[1]), text[match.end() :])
    match = _MONTH_FIRST.match(text)
    if match is not None:
        return _day(int(match[3]), _month(match[1]), int(match[2]), text[match.end() :])
    return None


def _month(name: str) -> int:
    return _MONTHS.get(name.lower(), 0)


def _day(year: int, month: int, day: int, rest: str) -> tuple[date, str] | None:
    if rest[:1].isalnum() and rest[:1] not in "Tt":
        return None
    try:
        return date(year + 2000 if year < 100 else year, month, day), rest.lstrip(" Tt,")
    except ValueError:
        return None


def read_clock(text: str) -> ClockTime | None:
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), int(match[3] or 0)
    if match[4]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if match[4].lower() == "p" else 0)
    try:
        return ClockTime(time(hour, minute, second), _offset(match[5]))
    except ValueError:
        return None


def _offset(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if text in "Zz":
        return timedelta(0)
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 14 or minutes > 59:
        raise ValueError(text)
    return (-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)


class Placed(NamedTuple):
    at: datetime  # UTC
    said_twice: bool  # the clock was put back over it: the first time is taken


def place(day: date, at: time, zone: ZoneInfo) -> Placed | None:
    """A local time in a zone; None where the clock was put forward over it."""
    local = datetime.combine(day, at, zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return None
    return Placed(moment, local.utcoffset() != local.replace(fold=1).utcoffset())
