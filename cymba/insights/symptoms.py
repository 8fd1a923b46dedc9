"""How symptoms were rated in some of a person's local days, beside what was done on them."""

from collections.abc import Collection, Sequence
from datetime import date
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import orjson
import psycopg
from sqlalchemy import Text, cast, func, union_all

from cymba.accounts.zones import borders, places
from cymba.database import Prepared
from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import IntegerRange, NumberRange
from cymba.float_columns import Floats, read_floats
from cymba.insights.outcomes import OUTCOMES
from cymba.stimulation.session.history import PARTS, Done, Period, by_zone, done_of, reach_of

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


def read_done_and_felt(
    line: psycopg.Connection[Any],
    account_id: UUID,
    kinds: Collection[Period],
    first_day: date,
    last_day: date,
    *,
    family_id: UUID | None = None,
) -> tuple[Done, list[FeltInZone]]:
    """As `read_done`, and what was felt on the same days."""
    rows = _STATEMENT.rows(
        line,
        account_id=account_id,
        family_id=family_id,
        **reach_of(kinds, first_day, last_day),
    )
    felt = [
        FeltInZone(zone, read_floats(moments), orjson.loads(entries))
        for part, zone, _, _, _, entries, moments, *_ in rows
        if part == _FELT
    ]
    return done_of(row for row in rows if row[0] != _FELT), felt


def symptoms_rated(
    felt: Sequence[FeltInZone], spans: Sequence[tuple[date, date]]
) -> list[list[SymptomRated]]:
    """For each span of days, the last one included, the symptoms rated in it in the diary's order.
    The spans follow each other; `felt` is of all of their days at least.

    A rating counts on the calendar day that it was felt on, in the zone its person was in then.
    """
    found: list[list[SymptomRated]] = [[] for _ in spans]
    if not spans or not felt:
        return found
    first_day, last_day = spans[0][0], spans[-1][1]
    edges = [(first - first_day).days for first, _ in spans] + [(last_day - first_day).days + 1]
    at = np.concatenate(
        [places(borders(one.zone, first_day, last_day)[edges], one.moments) for one in felt]
    )
    entries = list(chain.from_iterable(one.entries for one in felt))
    there = set[str]().union(*entries)
    for name in _NUMBERS:
        if name in there:
            column = _column(entries, name)
            rated = np.isfinite(column) & (at >= 0)
            in_span = at[rated]
            counts = np.bincount(in_span, minlength=len(spans))
            sums = np.bincount(in_span, column[rated], minlength=len(spans))
            (numbers,) = counts.nonzero()
            means = (sums[numbers] / counts[numbers]).tolist()
            for number, mean, ratings in zip(
                numbers.tolist(), means, counts[numbers].tolist(), strict=True
            ):
                found[number].append(SymptomRated(name, mean, ratings))
    return found


def _column(entries: Sequence[dict[str, Any]], name: str) -> Floats:
    """NaN stands for no rating."""
    try:  # half the time, where each entry has it as a small whole number
        small = bytes(map(itemgetter(name), entries))
    except (KeyError, TypeError, ValueError):
        return np.array([items.get(name) for items in entries], np.float64)
    return np.frombuffer(small, np.uint8).astype(np.float64)


_FELT = "felt"
_ENTRY = DiaryEntry
# Columns of all entries of a zone: as rows they take four times as long to read.
_STATEMENT = Prepared(
    union_all(
        *PARTS,
        by_zone(_FELT, _ENTRY, _ENTRY.felt_at, cast(func.json_agg(_ENTRY.items), Text)).where(
            _ENTRY.deleted_at.is_(None),
            _ENTRY.import_id.is_(None),  # of another app, whose hour or scale may be an assumption
        ),
    ),
    binary=True,
)
