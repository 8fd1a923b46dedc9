"""Prompts at local times of day, across changes of clock and of zone."""

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.merging import Mergeable
from cymba.accounts.written_fields import Fields
from cymba.diary.items import ITEMS
from cymba.diary.tables import Reminder
from cymba.voice import said

KIND: Final = "reminder"
MAX_TITLE, MAX_TIMES = 100, 24
LOCAL_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
WEEKDAYS = range(1, 8)  # ISO: 1 is Monday
# What a reminder has that was written without it.
_OTHERWISE = {"enabled": True, "at_usual_hour": False}
_SETS = frozenset({"local_times", "weekdays"})  # whose order says nothing


@dataclass(frozen=True, slots=True)
class Prompt:
    at: datetime  # UTC
    local: datetime  # the wall clock that the person sees
    reminder_id: UUID
    items: tuple[str, ...]
    unless_session: bool  # void once there is a session on that day


@dataclass(frozen=True, slots=True)
class Use:
    """What a prompt at the usual hour needs to know of the person's sessions."""

    usual_start: time | None = None  # by the wall clock; None: too few sessions
    days_with_session: frozenset[date] = frozenset()


NO_USE = Use()


def prompts(
    reminder: Reminder, zone: ZoneInfo, *, after: datetime, use: Use = NO_USE
) -> Iterator[Prompt]:
    """The reminder's prompts after a moment, without end, by the wall clock of `zone`.

    A time that a spring change skips is prompted right after the gap; a time that an autumn change
    repeats is prompted once, the first time. A reminder at the usual hour of a session uses its own
    times until there is a usual hour.
    """
    day = after.astimezone(zone).date() - timedelta(days=1)
    times = sorted(time.fromisoformat(text) for text in reminder.local_times)
    usual = bool(reminder.at_usual_hour)
    if usual and use.usual_start is not None:
        times = [use.usual_start]
    done = use.days_with_session if usual else frozenset[date]()
    items = tuple(reminder.items)
    while reminder.enabled:
        if day.isoweekday() in reminder.weekdays and day not in done:
            for at in sorted({_moment(day, wall, zone) for wall in times}):
                if at > after:
                    yield Prompt(at, at.astimezone(zone), reminder.id, items, usual)
        day += timedelta(days=1)


def _moment(day: date, wall: time, zone: ZoneInfo) -> datetime:
    # fold=0 takes the first of a repeated hour. In a gap it takes the offset before the change, so
    # the prompt comes as long after the gap as the wanted time lies in it.
    return datetime.combine(day, wall, tzinfo=zone).astimezone(UTC)


class Reminders(Mergeable[Reminder]):
    kind = KIND
    noun = "reminder"
    required = frozenset({"title", "local_times", "weekdays", "items"})
    table = Reminder

    def is_field(self, name: str) -> bool:
        return name in _CHECKS

    def problems(self, name: str, value: Any, now: datetime) -> Iterator[tuple[str, str]]:
        del now
        yield from _CHECKS[name](value)

    def checked(self, fields: Fields, *, now: datetime) -> dict[str, Any]:
        given = super().checked(fields, now=now)
        for name, value in given.items():
            if name in _SETS:
                given[name] = sorted(set(value))
            elif value is None:
                given[name] = _OTHERWISE[name]
        return given

    def values(self, row: Reminder) -> dict[str, Any]:
        return {name: getattr(row, name) for name in _CHECKS}

    def fill(self, row: Reminder, fields: Fields) -> None:
        for name in _CHECKS:
            setattr(row, name, fields.get(name, _OTHERWISE.get(name)))

    def empty(self, row: Reminder) -> None:
        row.title, row.items, row.enabled = "", [], False


def mine(session: Session, account_id: UUID) -> list[Reminder]:
    query = select(Reminder).where(Reminder.account_id == account_id, Reminder.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Reminder.id)))


def _title(value: Any) -> Iterator[tuple[str, str]]:
    if not (isinstance(value, str) and 1 <= len(value) <= MAX_TITLE and "\0" not in value):
        yield "", said("must be a text of 1 to {most} characters", most=MAX_TITLE)


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(LOCAL_TIME, value) is not None


def _list_of(
    fits: Callable[[Any], bool], detail: str, *, lengths: Collection[int]
) -> Callable[[Any], Iterator[tuple[str, str]]]:
    def check(value: Any) -> Iterator[tuple[str, str]]:
        if not (isinstance(value, list) and len(value) in lengths):
            yield (
                "",
                said("must be a list of {least} to {most}", least=min(lengths), most=max(lengths)),
            )
            return
        yield from ((f"/{i}", detail) for i, one in enumerate(value) if not fits(one))

    return check


def _flag(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, bool):
        yield "", "must be true or false"


_CHECKS: dict[str, Callable[[Any], Iterator[tuple[str, str]]]] = {
    "title": _title,
    "local_times": _list_of(
        _is_time, said("must be a time such as 08:00"), lengths=range(1, MAX_TIMES + 1)
    ),
    "weekdays": _list_of(
        lambda value: type(value) is int and value in WEEKDAYS,
        said("must be a day from 1, Monday, to 7"),
        lengths=range(1, len(WEEKDAYS) + 1),
    ),
    "items": _list_of(
        lambda value: isinstance(value, str) and value in ITEMS,
        said("unknown item"),
        lengths=range(len(ITEMS) + 1),
    ),
    "enabled": _flag,
    "at_usual_hour": _flag,
}
