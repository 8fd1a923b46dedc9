"""How symptoms were rated in some of a person's local days, beside what was done on them."""

from collections.abc import Sequence
from datetime import date
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import orjson
import psycopg
from sqlalchemy import Text, Uuid, bindparam, cast, func, select

from cymba.accounts.zones import borders, places, reach_anywhere
from cymba.database import Prepared
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import IntegerRange, NumberRange
from cymba.float_columns import Floats, float_column, read_floats
from cymba.insights.outcomes import OUTCOMES

_SYMPTOMS = tuple(one for one in OUTCOMES.values() if ITEMS[one.item].group == "symptom")
_NUMBERS = dict.fromkeys(one.name for one in _SYMPTOMS)
"""Each is an item whose value is its one number; `Outcome.value` would take three times as long."""
if not all(isinstance(ITEMS[name].value, IntegerRange | NumberRange) for name in _NUMBERS):
    raise TypeError("a symptom is not rated by one number")


class SymptomRated(NamedTuple):
    """A mean of `ratings` ratings; a symptom without any is left out, never shown as 0."""

    item: str
    mean: float
    ratings: int


class FeltInZone(NamedTuple):
    """The entries that were felt in a zone: when, in seconds since 1970, and what they hold."""

    zone: str
    moments: Floats
    entries: list[dict[str, Any]]


def read_felt(
    line: psycopg.Connection[Any], account_id: UUID, first_day: date, last_day: date
) -> list[FeltInZone]:
    """What was felt on these local days, and a little more on both sides of them."""
    begin, end = reach_anywhere(first_day, last_day)
    rows = _ENTRIES.rows(line, account_id=account_id, begin=begin, end=end)
    return [
        FeltInZone(zone, read_floats(moments), orjson.loads(entries))
        for zone, moments, entries in rows
    ]


def symptoms_rated(
    felt: Sequence[FeltInZone], spans: Sequence[tuple[date, date]]
) -> list[list[SymptomRated]]:
    """For each span of days, the last one included, the symptoms rated in it in the diary's order.
    The spans are in order and share no day; `felt` is of all of their days at least.

    A rating counts on the calendar day that it was felt on, in the zone its person was in then.
    """
    found: list[list[SymptomRated]] = [[] for _ in spans]
    if not spans or not felt:
        return found
    first_day, last_day = spans[0][0], spans[-1][1]
    # Entries on none of the days are in a span after the last. The last day is such a one.
    of_day = np.full((last_day - first_day).days + 2, len(spans))
    for number, (first, last) in enumerate(spans):
        of_day[(first - first_day).days : (last - first_day).days + 1] = number
    at = np.concatenate(
        [of_day[places(borders(one.zone, first_day, last_day), one.moments)] for one in felt]
    )
    entries = list(chain.from_iterable(one.entries for one in felt))
    there = set[str]().union(*entries)
    for name in _NUMBERS:
        if name in there:
            column = _column(entries, name)
            rated = np.isfinite(column)
            in_span = at[rated]
            counts = np.bincount(in_span, minlength=len(spans) + 1)[:-1]
            sums = np.bincount(in_span, column[rated], minlength=len(spans) + 1)[:-1]
            (numbers,) = counts.nonzero()
            means = (sums[numbers] / counts[numbers]).tolist()
            for number, mean, ratings in zip(
                numbers.tolist(), means, counts[numbers].tolist(), strict=True
            ):
                found[number].append(SymptomRated(name, mean, ratings))
    return found


def _column(entries: Sequence[dict[str, Any]], name: str) -> Floats:
    """NaN stands for no rating."""
    try:  # where each entry has it, this takes half the time
        return np.fromiter(map(itemgetter(name), entries), np.float64, len(entries))
    except (KeyError, TypeError):
        return np.array([items.get(name) for items in entries], np.float64)


_ENTRY = DiaryEntry
# Columns of all entries of a zone: as rows they take four times as long to read.
_ENTRIES = Prepared(
    select(
        cast(_ENTRY.time_zone, Text),
        float_column(func.date_part("epoch", _ENTRY.felt_at)),
        cast(func.json_agg(_ENTRY.items), Text),
    )
    .where(
        _ENTRY.account_id == bindparam("account_id", type_=Uuid()),
        _ENTRY.deleted_at.is_(None),
        _ENTRY.import_id.is_(None),  # of another app, whose hour or scale may be an assumption
        _ENTRY.felt_at >= bindparam("begin", type_=_ENTRY.felt_at.type),
        _ENTRY.felt_at < bindparam("end", type_=_ENTRY.felt_at.type),
    )
    .group_by(_ENTRY.time_zone),
    binary=True,
)
