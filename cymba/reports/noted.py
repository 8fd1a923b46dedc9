"""What the diary holds besides ratings: side effects, medication and treatments, conditions.

PostgreSQL sums it up, so that however much a person wrote, a report takes little memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    Double,
    Integer,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    select,
    values,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from cymba.accounts.zones import borders, reach_anywhere
from cymba.diary.items import ITEMS, Item
from cymba.diary.tables import DiaryEntry

MOST_TAKINGS = 20
"""Of a list. Those that were noted on the most days are shown, and of the rest how many there are.
"""


class TakingNoted(NamedTuple):
    """A medicine or a treatment at one dose, as the person wrote it."""

    name: str
    dose: str | None
    days: int  # on which it was noted
    first_day: date
    last_day: date
    noted_before: bool  # also before the days of the report


@dataclass(frozen=True, slots=True)
class TakingsNoted:
    items: Sequence[TakingNoted]  # by name, and then by their first days
    more: int  # that are not in `items`


class SideEffectNoted(NamedTuple):
    item: Item
    answers: int
    mild: int
    moderate: int
    severe: int
    bothersome: int
    first_day: date | None  # with a yes
    last_day: date | None


class ConditionNoted(NamedTuple):
    """`stands`: it is among those of the latest entry that names any."""

    name: str
    first_day: date | None  # null: before the days of the report
    stands: bool


class Noted:
    """What an account noted on some local days, each in the zone that its person was in."""

    def __init__(self, session: Session, account_id: UUID, first_day: date, last_day: date) -> None:
        self._session = session
        self._first_day, self._last = first_day, (last_day - first_day).days + 1
        _, until = reach_anywhere(first_day, last_day)
        row = DiaryEntry
        of_account = (row.account_id == account_id, row.deleted_at.is_(None), row.felt_at < until)
        zones = session.scalars(select(row.time_zone).where(*of_account).distinct()).all()
        self._entries: CTE | None = None
        if zones:
            days = (
                values(column("zone", Text), column("borders", ARRAY(Double)), name="zone")
                .data([(zone, borders(zone, first_day, last_day).tolist()) for zone in zones])
                .alias("zone")
            )
            felt_s = cast(func.extract("epoch", row.felt_at), Double)
            self._entries = (
                select(
                    row.items.label("noted"),
                    row.felt_at,
                    # 0: before the first day; 1: on it; one more than there are: after the last.
                    func.width_bucket(felt_s, days.c.borders, type_=Integer).label("day"),
                )
                .join(days, days.c.zone == row.time_zone)
                .where(*of_account)
                .cte("entry")
            )

    def takings(self, item: str) -> TakingsNoted:
        """Of `medication` or `other_treatment`. A name is the same however its letters are."""
        if self._entries is None:
            return TakingsNoted([], 0)
        entry = self._entries.c
        taken = self._list(item, "taken")
        name, dose = (_text(taken.c.value, part) for part in ("name", "dose"))
        is_within = entry.day.between(1, self._last)
        query = (
            select(
                func.max(name),
                func.max(dose),
                func.count(entry.day.distinct()).filter(is_within).label("days"),
                func.min(entry.day).filter(is_within),
                func.max(entry.day).filter(is_within),
                func.bool_or(entry.day == 0),
                func.count().over(),
            )
            .select_from(self._entries)
            .join(taken, literal(True))
            .where(entry.day <= self._last)
            .group_by(func.lower(name), func.lower(dose))
            .having(func.count().filter(is_within) > 0)
            .order_by(column("days").desc(), func.lower(name), func.lower(dose))
            .limit(MOST_TAKINGS)
        )
        rows = self._session.execute(query).all()
        items = [
            TakingNoted(name, dose, days, self._day(first), self._day(last), before)
            for name, dose, days, first, last, before, _ in rows
        ]
        items.sort(key=lambda one: (one.name.lower(), one.first_day, one.dose or ""))
        return TakingsNoted(items, rows[0][-1] - len(rows) if rows else 0)

    def side_effects(self) -> list[SideEffectNoted]:
        """Those that were answered, in the diary's order."""
        if self._entries is None:
            return []
        entry = self._entries.c
        each = func.jsonb_each(entry.noted).table_valued(
            "key", column("value", JSONB), name="answer"
        )
        each = each.render_derived()
        names = [item.name for item in ITEMS.values() if item.group == "side_effect"]
        severity = each.c.value["severity"].astext
        is_yes = severity != "none"
        query = (
            select(
                each.c.key,
                func.count(),
                *(func.count().filter(severity == one) for one in ("mild", "moderate", "severe")),
                func.count().filter(and_(is_yes, cast(each.c.value["bothersome"].astext, Boolean))),
                func.min(entry.day).filter(is_yes),
                func.max(entry.day).filter(is_yes),
            )
            .select_from(self._entries)
            .join(each, literal(True))
            .where(entry.day.between(1, self._last), each.c.key.in_(names))
            .group_by(each.c.key)
        )
        found = {}
        for name, *counts, first, last in self._session.execute(query):
            days = self._day_of(first), self._day_of(last)
            found[name] = SideEffectNoted._make((ITEMS[name], *counts, *days))
        return [found[name] for name in names if name in found]

    def conditions(self) -> list[ConditionNoted]:
        """Those that the person said were diagnosed, up to the last day, in the diary's order."""
        if self._entries is None:
            return []
        entry = self._entries.c
        named = self._list("condition", "named")
        name = named.c.value.op("#>>")(literal([], ARRAY(Text)))
        latest = (
            select(func.max(entry.felt_at))
            .where(entry.noted.has_key("condition"), entry.day <= self._last)
            .scalar_subquery()
        )
        query = (
            select(name, func.min(entry.day), func.max(entry.felt_at) == latest)
            .select_from(self._entries)
            .join(named, literal(True))
            .where(entry.day <= self._last)
            .group_by(name)
        )
        known: Mapping[str, Any] = ITEMS["condition"].value.options
        found = {
            name: ConditionNoted(name, self._day(first) if first else None, stands)
            for name, first, stands in self._session.execute(query)
        }
        return [found[name] for name in known if name in found]

    def _list(self, item: str, name: str) -> Any:
        """The members of a list of the entries' items."""
        assert self._entries is not None  # noqa: S101 - whoever asks has looked
        held = self._entries.c.noted[item]
        is_list = func.jsonb_typeof(held) == "array"
        members = func.jsonb_array_elements(case((is_list, held), else_=literal([], JSONB)))
        return members.table_valued(column("value", JSONB), name=name).render_derived()

    def _day(self, number: int) -> date:
        return self._first_day + timedelta(days=number - 1)

    def _day_of(self, number: int | None) -> date | None:
        return None if number is None else self._day(number)


def _text(taking: Any, part: str) -> Any:
    return func.nullif(func.btrim(taking[part].astext), "")
