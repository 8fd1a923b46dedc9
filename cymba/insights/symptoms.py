"""How symptoms were rated in some of a person's local days, beside what was done on them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import Text, Uuid, bindparam, cast, func, select

from cymba.accounts.zones import borders, places, reach_anywhere
from cymba.database import Prepared
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import IntegerRange, NumberRange
from cymba.insights.outcomes import OUTCOMES

_SYMPTOMS = tuple(one for one in OUTCOMES.values() if ITEMS[one.item].group == "symptom")
_NUMBERS = dict.fromkeys(one.name for one in _SYMPTOMS)
"""Each is an item whose value is its one number; `Outcome.value` would take three times as long."""
if not all(isinstance(ITEMS[name].value, IntegerRange | NumberRange) for name in _NUMBERS):
    raise TypeError("a symptom is not rated by one number")


@dataclass(frozen=True, slots=True)
class SymptomRated:
    """A mean of `ratings` ratings; a symptom without any is left out, never shown as 0."""

    item: str
    mean: float
    ratings: int


class FeltInZone(NamedTuple):
    """The entries that were felt in a zone: when, in seconds since 1970, and what they hold."""

    zone: str
    moments: list[float]
    entries: list[dict[str, Any]]


def read_felt(
    line: psycopg.Connection[Any], account_id: UUID, first_day: date, last_day: date
) -> list[FeltInZone]:
    """What was felt on these local days, and a little more on both sides of them."""
    begin, end = reach_anywhere(first_day, last_day)
    rows = _ENTRIES.rows(line, account_id=account_id, begin=begin, end=end)
    return [FeltInZone(zone, *map(orjson.loads, columns)) for zone, *columns in rows]


def symptoms_rated(
    felt: Sequence[FeltInZone], spans: Sequence[tuple[date, date]]
) -> list[list[SymptomRated]]:
    """For each span of days, the last one included, the symptoms rated in it in the diary's order.
    The spans are in order and share no day; `felt` is of all of their days at least.

    A rating counts on the calendar day that it was felt on, in the zone its person was in then.
    """
    if not spans:
        return []
    first_day, last_day = spans[0][0], spans[-1][1]
    values: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in spans]
    of_day: list[defaultdict[str, list[float]] | None] = [None] * (
        (last_day - first_day).days + 2  # the last is of entries on none of the days
    )
    for (first, last), of_span in zip(spans, values, strict=True):
        begin, end = (first - first_day).days, (last - first_day).days + 1
        of_day[begin:end] = [of_span] * (end - begin)
    for zone, moments, entries in felt:
        at = places(borders(zone, first_day, last_day), moments)
        for place, items in zip(at.tolist(), entries, strict=True):
            rated = of_day[place]
            if rated is not None:
                for item, value in items.items():
                    if item in _NUMBERS and value is not None:
                        rated[item].append(value)
    return [
        [
            SymptomRated(name, fsum(rated[name]) / len(rated[name]), len(rated[name]))
            for name in _NUMBERS
            if name in rated
        ]
        for rated in values
    ]


_ENTRY = DiaryEntry
# Columns of all entries of a zone: as rows they take four times as long to read.
_ENTRIES = Prepared(
    select(
        cast(_ENTRY.time_zone, Text),
        *(
            cast(func.json_agg(column), Text)
            for column in (func.extract("epoch", _ENTRY.felt_at), _ENTRY.items)
        ),
    )
    .where(
        _ENTRY.account_id == bindparam("account_id", type_=Uuid()),
        _ENTRY.deleted_at.is_(None),
        _ENTRY.import_id.is_(None),  # of another app, whose hour or scale may be an assumption
        _ENTRY.felt_at >= bindparam("begin", type_=_ENTRY.felt_at.type),
        _ENTRY.felt_at < bindparam("end", type_=_ENTRY.felt_at.type),
    )
    .group_by(_ENTRY.time_zone)
)
