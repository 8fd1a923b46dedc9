"""How symptoms were rated in some of a person's local days, beside what was done on them."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import psycopg
from sqlalchemy import null, union_all

from cymba.accounts.zones import borders, places
from cymba.database import Prepared
from cymba.diary.items import ITEMS
from cymba.diary.ratings import Ratings, numbered, rating_columns, read_ratings
from cymba.diary.tables import DiaryEntry
from cymba.diary.values import IntegerRange, NumberRange
from cymba.float_columns import Floats, read_floats
from cymba.insights.outcomes import OUTCOMES
from cymba.stimulation.session.history import PARTS, Done, Period, by_zone, done_of, reach_of

_SYMPTOMS = tuple(one for one in OUTCOMES.values() if ITEMS[one.item].group == "symptom")
_NAMES = tuple(one.name for one in _SYMPTOMS)
"""Each is an item whose value is its one number; `Outcome.value` would take three times as long."""
_NUMBERS = numbered(_NAMES)
if not all(isinstance(ITEMS[name].value, IntegerRange | NumberRange) for name in _NAMES):
    raise TypeError("a symptom is not rated by one number")


class SymptomRated(NamedTuple):
    """A mean of `ratings` ratings; a symptom without any is left out, never shown as 0."""

    item: str
    mean: float
    ratings: int


class FeltInZone(NamedTuple):
    """The entries that were felt in a zone: when, in seconds since 1970, and what they rate."""

    zone: str
    moments: Floats
    ratings: Ratings


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
        FeltInZone(zone, read_floats(moments), read_ratings(lengths, ratings, _NUMBERS))
        for part, zone, *_, moments, lengths, ratings in rows
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
        [
            places(borders(one.zone, first_day, last_day)[edges], one.moments)[one.ratings.entry]
            for one in felt
        ]
    )
    item = np.concatenate([one.ratings.item for one in felt])
    value = np.concatenate([one.ratings.value for one in felt])
    counted = (at >= 0) & (item >= 0)
    # One number for each symptom in each span.
    of_both = at[counted] * len(_NAMES) + item[counted]
    counts = np.bincount(of_both, minlength=len(spans) * len(_NAMES))
    sums = np.bincount(of_both, value[counted])
    (rated,) = counts.nonzero()
    means = sums[rated] / counts[rated]
    for number, mean, ratings in zip(
        rated.tolist(), means.tolist(), counts[rated].tolist(), strict=True
    ):
        span, symptom = divmod(number, len(_NAMES))
        found[span].append(SymptomRated(_NAMES[symptom], mean, ratings))
    return found


_FELT = "felt"
_ENTRY = DiaryEntry
# Columns of all entries of a zone: as rows they take four times as long to read.
_STATEMENT = Prepared(
    union_all(
        *PARTS,
        by_zone(_FELT, _ENTRY, _ENTRY.felt_at, null(), *rating_columns()).where(
            _ENTRY.deleted_at.is_(None),
            _ENTRY.import_id.is_(None),  # of another app, whose hour or scale may be an assumption
        ),
    ),
    binary=True,
)
