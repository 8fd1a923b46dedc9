"""How symptoms were rated in some of a person's local days, beside what was done on them."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import fmean
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.diary.items import ITEMS
from cymba.diary.tables import DiaryEntry
from cymba.insights.outcomes import OUTCOMES

_ANY_ZONE = timedelta(hours=26)  # no local day is further from the same day elsewhere
_SYMPTOMS = tuple(one for one in OUTCOMES.values() if ITEMS[one.item].group == "symptom")


@dataclass(frozen=True, slots=True)
class SymptomRated:
    """A mean of `ratings` ratings; a symptom without any is left out, never shown as 0."""

    item: str
    mean: float
    ratings: int


def symptoms_rated(
    session: Session, account_id: UUID, spans: Sequence[tuple[date, date]]
) -> list[list[SymptomRated]]:
    """For each span of days, the last one included, the symptoms rated in it in the diary's order.
    The spans are in order and share no day.

    A rating counts on the calendar day that it was felt on, in the zone its person was in then.
    """
    if not spans:
        return []
    entries: list[list[dict[str, object]]] = [[] for _ in spans]
    begins = [first for first, _ in spans]
    for day, items in _entries(session, account_id, begins[0], spans[-1][1]):
        place = bisect_right(begins, day) - 1
        if place >= 0 and day <= spans[place][1]:
            entries[place].append(items)
    return [_rated(of_span) for of_span in entries]


def _entries(
    session: Session, account_id: UUID, first: date, last: date
) -> list[tuple[date, dict[str, object]]]:
    query = select(DiaryEntry.felt_at, DiaryEntry.time_zone, DiaryEntry.items).where(
        DiaryEntry.account_id == account_id,
        DiaryEntry.deleted_at.is_(None),
        DiaryEntry.felt_at >= datetime.combine(first, time(), UTC) - _ANY_ZONE,
        DiaryEntry.felt_at < datetime.combine(last, time(), UTC) + timedelta(days=1) + _ANY_ZONE,
    )
    return [
        (felt_at.astimezone(ZoneInfo(zone)).date(), items)
        for felt_at, zone, items in session.execute(query)
    ]


def _rated(entries: Sequence[dict[str, object]]) -> list[SymptomRated]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for items in entries:
        for outcome in _SYMPTOMS:
            value = outcome.value(items)
            if value is not None:
                values[outcome.name].append(value)
    return [
        SymptomRated(one.name, fmean(values[one.name]), len(values[one.name]))
        for one in _SYMPTOMS
        if one.name in values
    ]
