"""IANA time zones: the names that a person may choose."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

# Present in some zone databases, but names of no place's time.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


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


@lru_cache(maxsize=50_000)  # years of days in the zones where most people are
def midnight(zone: str, day: date) -> datetime:
    """When the local day begins, in UTC."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
