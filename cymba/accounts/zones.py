"""IANA time zones: the names that a person may choose."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
from numpy.typing import NDArray

# Present in some zone databases, but names of no place's time.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})
_ANY_ZONE = timedelta(hours=26)  # no local day is further from the same day elsewhere

MOST_PAST = 1_000
"""Of a person: one who travels every week needs twenty years for as many."""

PastZones = Sequence[dict[str, str]]


def with_past(past: PastZones, zone: str, ended_at: datetime) -> list[dict[str, str]]:
    """The past zones of an account whose `zone` gives way to another."""
    return [*past, {"zone": zone, "until": ended_at.isoformat()}][-MOST_PAST:]


def zone_at(past: PastZones, zone: str, at: datetime) -> str:
    """Where the person was at a time, by `past`, oldest first, and the present `zone`."""
    for one in past:
        if at < datetime.fromisoformat(one["until"]):
            return one["zone"]
    return zone


@cache
def zone_names() -> frozenset[str]:
    return frozenset(
        name
        for name in available_timezones() - _NOT_ZONES
        if not name.startswith(("posix/", "right/"))
    )


def is_zone(name: str) -> bool:
    return name in zone_names()


def borders(
    zone: str, first_day: date, last_day: date, *, begin_hour: int = 0
) -> NDArray[np.float64]:
    """When each of the local days begins, and when the last one ends, in seconds since 1970."""
    end = last_day + timedelta(days=1)
    years = [_begin(zone, year, begin_hour) for year in range(first_day.year, end.year + 1)]
    first = (first_day - date(first_day.year, 1, 1)).days
    return np.concatenate(years)[first : first + (end - first_day).days + 1]


def reach_anywhere(first_day: date, last_day: date) -> tuple[datetime, datetime]:
    """Two moments between which these local days lie in every zone."""
    begin = datetime.combine(first_day, time(), UTC) - _ANY_ZONE
    return begin, datetime.combine(last_day, time(), UTC) + timedelta(days=1) + _ANY_ZONE


def places(days: NDArray[np.float64], moments_s: NDArray[np.float64]) -> NDArray[np.intp]:
    """In which of the days, by their `borders`, each moment lies; -1: in none."""
    at = np.searchsorted(days, moments_s, side="right") - 1
    at[at == days.size - 1] = -1
    return at


@lru_cache(maxsize=500)  # years of the zones where most people are
def _begin(zone: str, year: int, hour: int) -> NDArray[np.float64]:
    place, first = ZoneInfo(zone), date(year, 1, 1)
    days = [first + timedelta(days=after) for after in range((date(year + 1, 1, 1) - first).days)]
    return np.array([datetime.combine(day, time(hour), place).timestamp() for day in days])
