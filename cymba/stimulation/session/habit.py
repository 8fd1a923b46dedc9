"""When of the day a person usually begins to stimulate, and on which days they did."""

import statistics
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.stimulation.session.shown import counted_written
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession

REACH = timedelta(days=28)
LEAST_DAYS = 3  # with a session, before an hour is a usual one


class Habit(NamedTuple):
    usual_start: time | None  # by the wall clock, to the quarter of an hour
    days: frozenset[date]  # with a session


def habit(session: Session, account_id: UUID, zone: ZoneInfo, *, now: datetime) -> Habit:
    """Of the last four weeks: the median of each day's first session."""
    starts = session.scalars(
        select(StimulationSession.started_at).where(
            StimulationSession.account_id == account_id,
            StimulationSession.deleted_at.is_(None),
            StimulationSession.started_at > now - REACH,
        )
    )
    written = counted_written(session, account_id, WrittenSession.started_at > now - REACH)
    first: dict[date, int] = {}
    for started_at in [*starts, *(row.started_at for row in written)]:
        local = started_at.astimezone(zone)
        minute = local.hour * 60 + local.minute
        first[local.date()] = min(first.get(local.date(), minute), minute)
    if len(first) < LEAST_DAYS:
        return Habit(None, frozenset(first))
    quarters = min(round(statistics.median(first.values()) / 15), 95)
    return Habit(time(quarters // 4, quarters % 4 * 15), frozenset(first))
