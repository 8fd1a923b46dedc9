"""A person's sessions aggregated by local day, week or month.

A session belongs to the day on which it started, in the zone that its person was in then. One that
runs past midnight is not divided. A day without a session counts as zero only if everything that
the person's devices recorded on it has been uploaded; else it is unknown.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import groupby
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account
from cymba.errors import Rejected
from cymba.stimulation.session.shown import counted_written
from cymba.stimulation.session.uploads import CompleteDays, load_complete_days
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession
from cymba.voice import said

Period = Literal["day", "week", "month"]
MAX_DAYS = 3_700  # ten years
EARLIEST, LATEST = date(1970, 1, 1), date(2999, 12, 31)
_DAY = timedelta(days=1)
_ANY_ZONE = timedelta(hours=26)  # the same local day differs by no more between two zones


@dataclass(frozen=True, slots=True)
class HistoryPeriod:
    """A local day, an ISO week from Monday, or a month. `last_day` is included.

    `sessions`, `stimulating_min` and `delivered_charge_mc` are null if nothing is known of any of
    its days, and the last two also if no session has them.
    """

    first_day: date
    last_day: date
    sessions: int | None
    sessions_written: int | None  # of them, those that no device recorded
    stimulating_min: float | None
    delivered_charge_mc: float | None
    days_with_session: int
    days_known: int  # days with a session, and days that certainly had none
    adherence: float | None  # days_with_session / days_known
    complete: bool  # no session of it can be missing


@dataclass(frozen=True, slots=True)
class _Done:
    day: date
    seconds: float | None
    charge_uc: float | None
    is_written: bool = False


def history(
    session: Session, account_id: UUID, period: Period, first_day: date, last_day: date
) -> list[HistoryPeriod]:
    """The whole periods that contain `first_day` to `last_day`, in order.

    Raises:
        Rejected: the days are in the wrong order, too many, or out of range.
    """
    if last_day < first_day or (last_day - first_day).days >= MAX_DAYS:
        raise Rejected(
            said(
                "`to` must not be before `from`, and at most {most} days may be asked for.",
                most=MAX_DAYS,
            ),
            errors=[
                {
                    "pointer": "/to",
                    "detail": said("must be within {most} days after `from`", most=MAX_DAYS),
                }
            ],
        )
    if first_day < EARLIEST or last_day > LATEST:
        raise Rejected(
            said("The days must lie from {earliest} to {latest}.", earliest=EARLIEST, latest=LATEST)
        )
    first_day, last_day = _first_of(period, first_day), _last_of(period, last_day)
    zone_name = session.scalar(select(Account.time_zone).where(Account.id == account_id))
    zone = _zone(zone_name or "UTC")
    done: dict[date, list[_Done]] = defaultdict(list)
    for one in _sessions(session, account_id, first_day, last_day):
        done[one.day].append(one)
    complete_days = load_complete_days(session, account_id)
    days = groupby(_days(first_day, last_day), key=lambda day: _first_of(period, day))
    return [_period(list(of_period), done, complete_days, zone) for _, of_period in days]


def _period(
    days: Sequence[date],
    done: Mapping[date, Sequence[_Done]],
    complete_days: CompleteDays,
    zone: ZoneInfo,
) -> HistoryPeriod:
    sessions = [one for day in days for one in done.get(day, ())]
    complete = [_is_complete(day, complete_days, zone) for day in days]
    known = sum(
        bool(done.get(day)) or is_complete for day, is_complete in zip(days, complete, strict=True)
    )
    active = sum(bool(done.get(day)) for day in days)
    charge_uc = _sum([one.charge_uc for one in sessions])
    seconds = _sum([one.seconds for one in sessions])
    return HistoryPeriod(
        first_day=days[0],
        last_day=days[-1],
        sessions=len(sessions) if known else None,
        sessions_written=sum(one.is_written for one in sessions) if known else None,
        stimulating_min=None if seconds is None or not known else seconds / 60,
        delivered_charge_mc=None if charge_uc is None or not known else charge_uc / 1000,
        days_with_session=active,
        days_known=known,
        adherence=active / known if known else None,
        complete=all(complete),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum over the sessions that have it; null if there are sessions but none has it."""
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


def _sessions(
    session: Session, account_id: UUID, first_day: date, last_day: date
) -> Iterator[_Done]:
    begin = datetime.combine(first_day, time(), UTC) - _ANY_ZONE
    end = datetime.combine(last_day, time(), UTC) + _DAY + _ANY_ZONE
    rows = session.execute(
        select(
            StimulationSession.started_at,
            StimulationSession.time_zone,
            StimulationSession.stimulating_s,
            StimulationSession.delivered_charge_uc,
        ).where(
            StimulationSession.account_id == account_id,
            StimulationSession.deleted_at.is_(None),
            StimulationSession.started_at >= begin,
            StimulationSession.started_at < end,
        )
    )
    for started_at, zone_name, seconds, charge_uc in rows:
        yield _Done(started_at.astimezone(_zone(zone_name)).date(), seconds, charge_uc)
    at = WrittenSession.started_at
    for row in counted_written(session, account_id, at >= begin, at < end):
        day = row.started_at.astimezone(_zone(row.time_zone)).date()
        yield _Done(day, row.stimulating_s, None, is_written=True)


def _is_complete(day: date, complete_days: CompleteDays, zone: ZoneInfo) -> bool:
    begins_at = datetime.combine(day, time(), zone).astimezone(UTC)
    ends_at = datetime.combine(day + _DAY, time(), zone).astimezone(UTC)
    return complete_days.is_complete(day, begins_at, ends_at)


def _days(first_day: date, last_day: date) -> Iterator[date]:
    for after in range((last_day - first_day).days + 1):
        yield first_day + after * _DAY


def _first_of(period: Period, day: date) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - day.weekday() * _DAY
        case "month":
            return day.replace(day=1)


def _last_of(period: Period, day: date) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day + (6 - day.weekday()) * _DAY
        case "month":
            next_month = day.replace(day=28) + 4 * _DAY
            return next_month - next_month.day * _DAY


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
