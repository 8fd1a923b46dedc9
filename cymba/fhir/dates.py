"""Search by time, as FHIR means it: a day given without an hour is all of that day, and a resource
that lasts is compared by its beginning and its end (R4, search.html#date)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, true

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
_DATE = re.compile(
    r"(?P<prefix>[a-z]{2})?(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
PREFIXES: Final = ("eq", "ge", "gt", "le", "lt", "sa", "eb")


@dataclass(frozen=True, slots=True)
class DateTest:
    """`low` up to, but without, `high` is what the date that was given spans."""

    prefix: str
    low: datetime
    high: datetime

    @classmethod
    def parse(cls, given: str) -> "DateTest | None":
        """None: it is no date that FHIR's search knows."""
        found = _DATE.fullmatch(given.replace(" ", "+"))  # a `+` that was not escaped in the URL
        if found is None or (found["prefix"] or "eq") not in PREFIXES:
            return None
        try:
            low, high = _span(found)
        except (ValueError, OverflowError):
            return None
        return cls(found["prefix"] or "eq", low, high)

    def in_sql(self, start: Any, end: Any) -> ColumnElement[bool]:
        """Whether a row of this span is found, by the columns of its beginning and its end."""
        test: ColumnElement[bool] = self._test(start, end, and_, or_)
        return test

    def holds(self, start: datetime, end: datetime | None) -> bool:
        """The same of values; without an end it goes on."""
        return bool(self._test(start, end or FOREVER, _all, _any))

    def _test(
        self, start: Any, end: Any, all_of: Callable[..., Any], one_of: Callable[..., Any]
    ) -> Any:
        low, high = self.low, self.high
        within = all_of(start >= low, end < high)
        tests = {
            "eq": within,
            "lt": start < low,
            "le": one_of(start < low, within),
            "gt": end >= high,
            "ge": one_of(end >= high, within),
            "sa": start >= high,
            "eb": end < low,
        }
        return tests[self.prefix]


def all_in_sql(tests: tuple[DateTest, ...], start: Any, end: Any) -> ColumnElement[bool]:
    return and_(true(), *(test.in_sql(start, end) for test in tests))


def _all(*tests: bool) -> bool:
    return all(tests)


def _any(*tests: bool) -> bool:
    return any(tests)


def _span(found: re.Match[str]) -> tuple[datetime, datetime]:
    """What the date covers. Where it names no zone it is UTC, which the documentation says."""
    year, month, day = int(found["year"]), int(found["month"] or 1), int(found["day"] or 1)
    if found["hour"] is None:
        low = datetime(year, month, day, tzinfo=UTC)
        if found["day"]:
            return low, _later(low, timedelta(days=1))
        months = 1 if found["month"] else 12
        years, month = divmod(month - 1 + months, 12)
        is_last = year + years > FOREVER.year
        return low, FOREVER if is_last else low.replace(year=year + years, month=month + 1)
    zone = found["zone"] or "Z"
    fraction = (found["fraction"] or "")[:6]
    at = datetime.fromisoformat(
        f"{year:04}-{month:02}-{day:02}T{found['hour']}:{found['minute']}"
        f":{found['second'] or '00'}.{fraction or '0':0<6}{zone}"
    ).astimezone(UTC)
    if found["second"] is None:
        return at, _later(at, timedelta(minutes=1))
    return at, _later(at, timedelta(microseconds=10 ** (6 - len(fraction))))


def _later(at: datetime, span: timedelta) -> datetime:
    return FOREVER if FOREVER - at < span else at + span
