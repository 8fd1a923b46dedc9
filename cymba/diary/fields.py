"""An entry's fields in a flat form: each is checked, compared and merged by itself."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cymba.accounts.written_fields import (
    LONG_AGO,
    Fields,
    moment_problem,
    note_problem,
    uuid_problem,
    zone_problem,
)
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry, ReadEntry

ITEM = "items."
NAMES = frozenset({"felt_at", "time_zone", "session_id", "note"})


def is_field(name: str) -> bool:
    """`felt_at`, `time_zone`, `session_id`, `note`, and `items.<name>` for each item."""
    return name in NAMES or (name.startswith(ITEM) and name.removeprefix(ITEM) in ITEMS)


def problems(name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
    if name.startswith(ITEM):
        yield from ITEMS[name.removeprefix(ITEM)].value.problems(value)
    elif problem := _problem(name, value, now):
        yield "", problem


def _problem(name: str, value: Any, now: datetime) -> str | None:
    match name:
        case "felt_at":
            return moment_problem(value, now)
        case "time_zone":
            return zone_problem(value)
        case "note":
            return note_problem(value)
        case _:
            return uuid_problem(value)


def values(entry: DiaryEntry | ReadEntry) -> dict[str, Any]:
    """The fields of an entry that is not deleted."""
    return {
        "felt_at": entry.felt_at,
        "time_zone": entry.time_zone,
        "session_id": entry.session_id,
        "note": entry.note,
        **{f"{ITEM}{name}": value for name, value in entry.items.items()},
    }


def to_confirm(entry: DiaryEntry | ReadEntry) -> list[str]:
    """The fields that the app should ask to confirm: they are stored, but likely a slip."""
    return ["felt_at"] if entry.felt_at < entry.written_at - LONG_AGO else []


def red_flags(fields: Fields) -> list[str]:
    """The items in `fields` that are red flags: they lock the device."""
    return [
        item
        for name, value in fields.items()
        if (item := name.removeprefix(ITEM)) in _RED_FLAGS
        and value is not None
        and value["severity"] != "none"
    ]


_RED_FLAGS = frozenset(name for name, item in ITEMS.items() if item.red_flag)
SCORED = frozenset(
    name for name, item in ITEMS.items() if item.group == "questionnaire" and item.scoring
)
MARKED = _RED_FLAGS | SCORED
"""An entry without any of these is shown as it is stored: no score and no red flag is of it."""
