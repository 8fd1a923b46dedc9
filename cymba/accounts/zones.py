"""IANA time zones: the names that a person may choose."""

from functools import cache
from zoneinfo import available_timezones

# Present in some zone databases, but names of no place's time.
_NOT_ZONES = frozenset({"Factory", "localtime", "posixrules"})


@cache
def zone_names() -> frozenset[str]:
    return frozenset(
        name
        for name in available_timezones() - _NOT_ZONES
        if not name.startswith(("posix/", "right/"))
    )


def is_zone(name: str) -> bool:
    return name in zone_names()
