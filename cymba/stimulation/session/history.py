"""A person's sessions aggregated by local day, week or month.

A session belongs to the day on which it started, in the zone that its person was in then. One that
runs past midnight is not divided. A day without a session counts as zero only if everything that
the person's devices recorded on it has been uploaded; else it is unknown.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import psycopg
from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    union_all,
)

from cymba.accounts.tables import Account
from cymba.accounts.zones import midnight
from cymba.database import Prepared
from cymba.errors import Rejected
from cymba.stimulation.session.uploads import load_complete_days
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession, stimulating_s
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


@dataclass(slots=True)
class _Done:
    """What was done on a day. A sum is null if sessions are there, and none of them has it."""

    sessions: int = 0
    written: int = 0
    seconds: float | None = None
    charge_uc: float | None = None


def history(
    line: psycopg.Connection[Any],
    account_id: UUID,
    period: Period,
    first_day: date,
    last_day: date,
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
    zone_name, done = _done(line, account_id, first_day, last_day)
    days = [first_day + after * _DAY for after in range((last_day - first_day).days + 1)]
    borders = [midnight(zone_name, day) for day in [*days, last_day + _DAY]]
    complete = load_complete_days(line, account_id).among(days, borders)
    found, begin = [], 0
    while begin < len(days):
        end = begin + (_last_of(period, days[begin]) - days[begin]).days + 1
        found.append(_period(days[begin:end], done, complete[begin:end]))
        begin = end
    return found


def _period(
    days: Sequence[date], done: Mapping[date, _Done], complete: Sequence[bool]
) -> HistoryPeriod:
    of_period = [done[day] for day in days if day in done]
    active = len(of_period)
    known = sum(is_complete or day in done for day, is_complete in zip(days, complete, strict=True))
    seconds = _sum([one.seconds for one in of_period])
    charge_uc = _sum([one.charge_uc for one in of_period])
    return HistoryPeriod(
        first_day=days[0],
        last_day=days[-1],
        sessions=sum(one.sessions for one in of_period) if known else None,
        sessions_written=sum(one.written for one in of_period) if known else None,
        stimulating_min=None if seconds is None or not known else seconds / 60,
        delivered_charge_mc=None if charge_uc is None or not known else charge_uc / 1000,
        days_with_session=active,
        days_known=known,
        adherence=active / known if known else None,
        complete=all(complete),
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """The sum over the days that have it; null if there are days but none has it."""
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None


def _done(
    line: psycopg.Connection[Any], account_id: UUID, first_day: date, last_day: date
) -> tuple[str, dict[date, _Done]]:
    """The account's zone, and what was done by the local day of each session's own zone."""
    begin = datetime.combine(first_day, time(), UTC) - _ANY_ZONE
    end = datetime.combine(last_day, time(), UTC) + _DAY + _ANY_ZONE
    done: defaultdict[date, _Done] = defaultdict(_Done)
    account_zone = "UTC"
    for part, zone_name, *columns in _STATEMENT.rows(
        line, account_id=account_id, begin=begin, end=end
    ):
        if part == "account":
            account_zone = zone_name
            continue
        zone = _zone(zone_name)
        starts, seconds, charges = map(orjson.loads, columns)
        if part == "written":
            seconds = [stimulating_s(*one) for one in seconds]
        for start, second, charge in zip(starts, seconds, charges, strict=True):
            of_day = done[datetime.fromtimestamp(start, zone).date()]
            of_day.sessions += 1
            of_day.written += part == "written"
            if second is not None:
                of_day.seconds = (of_day.seconds or 0.0) + second
            if charge is not None:
                of_day.charge_uc = (of_day.charge_uc or 0.0) + charge
    return account_zone, done


def _by_zone(part: str, row: Any, seconds: Any, charge: Any) -> Select[*tuple[Any, ...]]:
    """One row for each time zone. Columns as JSON: two thousand values are read in a tenth of the
    time of as many rows."""
    columns = (func.extract("epoch", row.started_at), seconds, charge)
    return (
        select(
            literal_column(f"CAST('{part}' AS text)"),
            cast(row.time_zone, Text),
            *(cast(func.json_agg(column), Text) for column in columns),
        )
        .where(
            row.account_id == _ACCOUNT_ID,
            row.started_at >= bindparam("begin", type_=row.started_at.type),
            row.started_at < bindparam("end", type_=row.started_at.type),
        )
        .group_by(row.time_zone)
    )


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_SESSION, _WRITTEN = StimulationSession, WrittenSession
_NULL: ColumnElement[Any] = literal_column("NULL")
_STATEMENT = Prepared(
    union_all(
        select(
            literal_column("CAST('account' AS text)"),
            cast(Account.time_zone, Text),
            *[cast(_NULL, Text)] * 3,
        ).where(Account.id == _ACCOUNT_ID),
        _by_zone("recorded", _SESSION, _SESSION.stimulating_s, _SESSION.delivered_charge_uc).where(
            _SESSION.deleted_at.is_(None)
        ),
        _by_zone(
            "written",
            _WRITTEN,
            func.json_build_array(_WRITTEN.duration_s, _WRITTEN.level_changes),
            cast(_NULL, Text),
        ).where(_WRITTEN.deleted_at.is_(None), _WRITTEN.shown_with.is_(None)),
    )
)


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
