"""An entry's fields, flat: what is checked, compared and merged one by one."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cymba.accounts.zones import is_zone
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import plain
from cymba.errors import Rejected
from cymba.notes import MAX_NOTE

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
# A phone's clock may run fast, and a person may write on the far side of the date line.
LATEST_AHEAD = timedelta(days=1)

# So long before it was written, a time is more likely a slip than a memory.
LONG_AGO = timedelta(days=366)

REQUIRED = frozenset({"felt_at", "time_zone"})

Fields = Mapping[str, Any]
"""Flat fields of an entry: `felt_at`, `time_zone`, `session_id`, `note`, `items.<name>`.

A missing value is None: an item that was not answered, a note that was taken back.
"""


def normal(fields: Fields) -> dict[str, Any]:
    """The fields with `plain` values: what is stored, compared and digested.

    Raises:
        Rejected: a value is nested deeper than any item's.
    """
    return {name: plain(value) for name, value in fields.items()}


def checked(fields: Fields, *, now: datetime) -> dict[str, Any]:
    """The normal fields; raises `Rejected` with a pointer for each that does not fit its item."""
    fields = normal(fields)
    errors = [
        {"pointer": "/" + name.replace(".", "/") + pointer, "detail": detail}
        for name, value in fields.items()
        for pointer, detail in _problems(name, value, now)
    ]
    if errors:
        raise Rejected(
            "The entry does not fit the diary's items.", code="validation", errors=errors
        )
    return fields


def is_field(name: str) -> bool:
    return name in _CHECKS or (name.startswith("items.") and name.removeprefix("items.") in ITEMS)


def _problems(name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
    if name.startswith("items."):
        item = ITEMS.get(name.removeprefix("items."))
        if item is None:
            yield "", "unknown item"
        elif value is not None:
            yield from item.value.problems(value)
    elif name not in _CHECKS:
        yield "", "unknown field"
    elif problem := _CHECKS[name](value, now):
        yield "", problem


def _felt_at(value: Any, now: datetime) -> str | None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        return "must be a time with a zone"
    fits = EARLIEST <= value <= now + LATEST_AHEAD
    return None if fits else "must be after 1900 and not in the future"


def _time_zone(value: Any, _now: datetime) -> str | None:
    fits = isinstance(value, str) and is_zone(value)
    return None if fits else "must be an IANA time zone, such as Europe/Berlin"


def _session_id(value: Any, _now: datetime) -> str | None:
    return None if value is None or isinstance(value, UUID) else "must be a UUID"


def _note(value: Any, _now: datetime) -> str | None:
    # PostgreSQL holds every character but NUL.
    fits = isinstance(value, str) and len(value) <= MAX_NOTE and "\0" not in value
    return None if value is None or fits else f"must be a text of at most {MAX_NOTE} characters"


_CHECKS: dict[str, Callable[[Any, datetime], str | None]] = {
    "felt_at": _felt_at,
    "time_zone": _time_zone,
    "session_id": _session_id,
    "note": _note,
}


def require_complete(fields: Fields) -> None:
    missing = sorted(name for name in REQUIRED if fields.get(name) is None)
    if missing:
        raise Rejected(
            "The entry is not complete.",
            code="validation",
            errors=[{"pointer": f"/{name}", "detail": "is required"} for name in missing],
        )


def flat(entry: DiaryEntry) -> dict[str, Any]:
    """The entry's fields as `Fields`; empty for a tombstone."""
    if entry.deleted_at is not None:
        return {}
    return {
        "felt_at": entry.felt_at,
        "time_zone": entry.time_zone,
        "session_id": entry.session_id,
        "note": entry.note,
        **{f"items.{name}": value for name, value in entry.items.items()},
    }


def to_confirm(entry: DiaryEntry) -> list[str]:
    """The fields that the app should ask to confirm: they are stored, but likely a slip."""
    return ["felt_at"] if entry.felt_at < entry.written_at - LONG_AGO else []


def red_flags(fields: Fields) -> list[str]:
    """The items in `fields` that are red flags: they lock the device."""
    return [
        item.name
        for name, value in fields.items()
        if (item := ITEMS.get(name.removeprefix("items."))) is not None
        and item.red_flag
        and value is not None
        and value["severity"] != "none"
    ]
