"""The numbers that a person rated, as bytes beside an entry's items: two years of them are read as
columns. As JSON they cost a history a third more.

A rating is ten bytes: the first two of the SHA-256 of its item's name, and the value as a float8.
An entry has one of each item whose value is a single number. A trigger writes them, so they are
right whoever writes the items, and a new item needs nothing here. The migrations create the same.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import DDL, ColumnElement, LargeBinary, event, func

from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import IntegerRange, NumberRange
from cymba.float_columns import Floats, joined

_RATING: Final = np.dtype([("item", ">u2"), ("value", ">f8")])


class Ratings(NamedTuple):
    """Columns of as many ratings, in the order of their entries."""

    entry: NDArray[np.int64]  # its number among the entries that were read
    item: NDArray[np.int64]  # what `numbered` numbered; -1: another
    value: Floats


def rating_columns() -> tuple[ColumnElement[bytes], ColumnElement[bytes]]:
    """Aggregates, which `read_ratings` reads. They see the entries in one order."""
    length = func.int4send(func.octet_length(DiaryEntry.ratings), type_=LargeBinary())
    return joined(length), joined(DiaryEntry.ratings)


def read_ratings(lengths: bytes, ratings: bytes, numbers: NDArray[np.int64]) -> Ratings:
    counts = np.frombuffer(lengths, ">i4") // _RATING.itemsize
    found = np.frombuffer(ratings, _RATING)
    return Ratings(
        np.repeat(np.arange(counts.size), counts),
        numbers[found["item"]],
        found["value"].astype(np.float64),
    )


def numbered(names: Iterable[str]) -> NDArray[np.int64]:
    """By an item's two bytes its number among `names`, or -1."""
    numbers = np.full(1 << 16, -1)
    for number, name in enumerate(names):
        numbers[_two_bytes(name)] = number
    return numbers


def _two_bytes(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[:2])


_RATED = [
    name for name, item in ITEMS.items() if isinstance(item.value, IntegerRange | NumberRange)
]
if len(set(map(_two_bytes, _RATED))) < len(_RATED):
    raise ValueError("two items have the same two bytes: name one of them otherwise")

_PACK = (
    """
CREATE FUNCTION pack_ratings() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.ratings := (
    SELECT coalesce(string_agg(
      substr(sha256(convert_to(name, 'UTF8')), 1, 2) || float8send(value::float8), ''), '')
    FROM jsonb_each(NEW.items) AS item (name, value) WHERE jsonb_typeof(value) = 'number');
  RETURN NEW;
END
$$""",
    """
CREATE TRIGGER diary_entry_packed BEFORE INSERT OR UPDATE OF items, ratings ON diary_entry
FOR EACH ROW EXECUTE FUNCTION pack_ratings()""",
)
for _moment, _statement in (
    *(("after_create", one) for one in _PACK),
    ("after_drop", "DROP FUNCTION pack_ratings()"),
):
    event.listen(
        DiaryEntry.__table__,
        _moment,
        DDL(_statement),  # type: ignore[no-untyped-call] # SQLAlchemy's own
    )
