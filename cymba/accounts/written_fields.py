"""Fields that a person writes: the form in which they are stored, and the checks of their
values."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from cymba.accounts.zones import is_zone
from cymba.errors import Rejected
from cymba.notes import MAX_NOTE
from cymba.voice import said

MAX_DEPTH = 4
EXACT_BELOW = 2**53
"""A float of this size or more may differ from the whole number that was meant."""

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
# A phone's clock may run fast, and a person may write on the far side of the date line.
LATEST_AHEAD = timedelta(days=1)

# So long before it was written, a time is more likely a slip than a memory.
LONG_AGO = timedelta(days=366)

Fields = Mapping[str, Any]
"""Flat fields by name (`note`, `items.pain_now`). A missing value is None: an item that was not
answered, a note that was taken back."""


def whole(value: Any) -> Any:
    """7 where JSON has 7.0, which is the same number; everything else as it is."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < EXACT_BELOW
    return int(value) if is_whole else value


def plain(value: Any, *, depth: int = MAX_DEPTH) -> Any:
    """The value with its `whole` numbers as integers: the one form in which it is stored.

    Raises:
        Rejected: it is nested deeper than any value.
    """
    match value:
        case list() | dict() if depth == 0:
            raise Rejected(
                said("A value has at most {most} levels.", most=MAX_DEPTH), code="validation"
            )
        case list():
            return [plain(each, depth=depth - 1) for each in value]
        case dict():
            return {name: plain(each, depth=depth - 1) for name, each in value.items()}
        case _:
            return whole(value)


def normal(fields: Fields) -> dict[str, Any]:
    """The fields with `plain` values: what is stored, compared and digested.

    Raises:
        Rejected: a value is nested deeper than any.
    """
    return {name: plain(value) for name, value in fields.items()}


def moment_problem(value: Any, now: datetime) -> str | None:
    """Why a value is no moment that a person may name; None: it is one."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return "must be a time with a zone"
    fits = EARLIEST <= value <= now + LATEST_AHEAD
    return None if fits else "must be after 1900 and not in the future"


def zone_problem(value: Any) -> str | None:
    fits = isinstance(value, str) and is_zone(value)
    return None if fits else "must be an IANA time zone, such as Europe/Berlin"


def one_of_problem(value: Any, options: Collection[str]) -> str | None:
    fits = isinstance(value, str) and value in options
    return None if fits else said("must be one of {names}", names=", ".join(options))


def uuid_problem(value: Any) -> str | None:
    return None if isinstance(value, UUID) else "must be a UUID"


def text_problem(value: Any) -> str | None:
    return None if isinstance(value, str) and "\0" not in value else "must be a text"


def note_problem(value: Any) -> str | None:
    # PostgreSQL stores every character but NUL.
    fits = isinstance(value, str) and len(value) <= MAX_NOTE and "\0" not in value
    return None if fits else said("must be a text of at most {most} characters", most=MAX_NOTE)
