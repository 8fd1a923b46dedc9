"""Prompts at local times of day, across changes of clock and of zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.changes import announce, was_deleted
from cymba.accounts.merging import Match
from cymba.diary.items import ITEMS
from cymba.diary.tables import Reminder
from cymba.errors import NotFound, Rejected

KIND: Final = "reminder"


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


@dataclass(frozen=True, slots=True)
class Saved:
    reminder: Reminder
    changed: bool  # false: it was already so


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


def save(
    session: Session,
    account_id: UUID,
    reminder_id: UUID,
    wanted: dict[str, Any],
    *,
    match: Match,
) -> Saved:
    """Make the reminder as `wanted`: title, local_times, weekdays, items, enabled, at_usual_hour.

    Raises:
        Rejected: an item is unknown.
        PreconditionRequired, PreconditionFailed: `match` refuses to change the stored version.
    """
    unknown = [i for i, name in enumerate(wanted["items"]) if name not in ITEMS]
    if unknown:
        errors = [{"pointer": f"/items/{i}", "detail": "unknown item"} for i in unknown]
        raise Rejected("The reminder asks for unknown items.", code="validation", errors=errors)
    reminder = session.get(Reminder, (account_id, reminder_id), with_for_update=True)
    if reminder is None:
        match(None)
        reminder = Reminder(account_id=account_id, id=reminder_id, version=1, **wanted)
        session.add(reminder)
        changed = True
    elif changed := any(getattr(reminder, name) != value for name, value in wanted.items()):
        match(reminder.version)
        for name, value in wanted.items():
            setattr(reminder, name, value)
        reminder.version += 1
    session.flush()
    if changed:
        announce(session, account_id, KIND, reminder_id)
    return Saved(reminder, changed)


def mine(session: Session, account_id: UUID) -> list[Reminder]:
    query = select(Reminder).where(Reminder.account_id == account_id).order_by(Reminder.id)
    return list(session.scalars(query))


def get(session: Session, account_id: UUID, reminder_id: UUID) -> Reminder:
    """The account's own reminder, or `NotFound`."""
    reminder = session.get(Reminder, (account_id, reminder_id), with_for_update=True)
    if reminder is None:
        raise NotFound("There is no such reminder.")
    return reminder


def remove(session: Session, account_id: UUID, reminder_id: UUID, *, match: Match) -> None:
    """Delete the reminder at the version that `match` accepts. Idempotent.

    Raises:
        NotFound, PreconditionRequired, PreconditionFailed.
    """
    if was_deleted(session, account_id, KIND, reminder_id):
        return
    reminder = get(session, account_id, reminder_id)
    match(reminder.version)
    session.delete(reminder)
    session.flush()
    announce(session, account_id, KIND, reminder_id, deleted=True)
