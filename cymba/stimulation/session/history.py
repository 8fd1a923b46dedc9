"""A person's sessions aggregated by local day, week or month, or over all days asked for.

A session belongs to the day on which it started, in the zone that its person was in then. One that
runs past midnight is not divided. A day without a session counts as zero only if everything that
the person's devices recorded on it has been uploaded; else it is unknown.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID

import numpy as np
import orjson
import psycopg
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
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
from cymba.accounts.tokens import MAY_READ
from cymba.accounts.zones import borders, places, reach_anywhere
from cymba.database import Prepared
from cymba.errors import Rejected
from cymba.float_columns import Floats, float_column, read_floats
from cymba.stimulation.session import uploads
from cymba.stimulation.session.uploads import CompleteDays, complete_days
from cymba.stimulation.tables import StimulationSession
from cymba.stimulation.written.tables import WrittenSession, stimulating_s
from cymba.voice import said

Period = Literal["day", "week", "month", "whole"]
MAX_DAYS = 3_700  # ten years
EARLIEST, LATEST = date(1970, 1, 1), date(2999, 12, 31)
_DAY = timedelta(days=1)


class HistoryPeriod(NamedTuple):
    """A local day, an ISO week from Monday, a month, or all days. `last_day` is included.

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


_SUMS = {
    "sessions": np.int64,
    "written": np.int64,
    "seconds": np.float64,
    "with_seconds": np.int64,  # sessions of which they are known
    "charge_uc": np.float64,
    "with_charge": np.int64,
}
"""What is summed of each day, in the order in which `_period` takes it."""


class _InZone(NamedTuple):
    """Sessions that took place in one zone. Moments are in seconds since 1970; NaN is null."""

    zone: str
    are_written: bool
    moments: Floats
    seconds: Floats
    charges_uc: Floats


class Done(NamedTuple):
    """What a person did on some local days, and a little more on both sides of them."""

    time_zone: str | None  # the account's; null: it is gone, or the sign-in has ended
    sessions: Sequence[_InZone]
    complete_days: CompleteDays


def read_done(
    line: psycopg.Connection[Any],
    account_id: UUID,
    kinds: Collection[Period],
    first_day: date,
    last_day: date,
    *,
    family_id: UUID | None = None,
) -> Done:
    """What `periods` of each kind need. `family_id`: the sign-in; None: the caller has checked.

    Raises:
        Rejected: as `periods`.
    """
    return done_of(
        _STATEMENT.rows(
            line,
            account_id=account_id,
            family_id=family_id,
            **reach_of(kinds, first_day, last_day),
        )
    )


def done_of(rows: Iterable[Sequence[Any]]) -> Done:
    """Of the rows of `PARTS`."""
    time_zone, sessions, of_uploads = None, [], []
    for part, name, first, second, third, text, moments, seconds, charges in rows:
        match part:
            case "account":
                time_zone = name
            case "recorded":
                columns = map(read_floats, (moments, seconds, charges))
                sessions.append(_InZone(name, False, *columns))
            case "written":
                lengths = np.array([stimulating_s(*one) for one in orjson.loads(text)])
                unknown = np.full(lengths.size, np.nan)
                sessions.append(_InZone(name, True, read_floats(moments), lengths, unknown))
            case _:
                of_uploads.append((part, name, first, second, third, text))
    return Done(time_zone, sessions, complete_days(of_uploads))


def reach_of(kinds: Collection[Period], first_day: date, last_day: date) -> dict[str, datetime]:
    """`begin` and `end` of all that the whole periods of these kinds can hold.

    Raises:
        Rejected: as `periods`.
    """
    firsts, lasts = zip(*[_whole(kind, first_day, last_day) for kind in kinds], strict=True)
    begin, end = reach_anywhere(min(firsts), max(lasts))
    return {"begin": begin, "end": end}


def periods(done: Done, period: Period, first_day: date, last_day: date) -> list[HistoryPeriod]:
    """The whole periods that contain `first_day` to `last_day`, in order.

    Raises:
        Rejected: the days are in the wrong order, too many, or out of range.
    """
    first_day, last_day = _whole(period, first_day, last_day)
    sums = _sums(done, first_day, last_day)
    days = borders(done.time_zone or "UTC", first_day, last_day)
    complete = done.complete_days.among(first_day, days)
    active: NDArray[np.bool_] = sums["sessions"] > 0
    known = complete | active
    firsts = _firsts(period, first_day, last_day)
    ends = [*firsts[1:], complete.size]

    def in_each(by_day: NDArray[Any]) -> list[Any]:
        of_periods: list[Any] = np.add.reduceat(by_day, firsts).tolist()
        return of_periods

    begin = first_day.toordinal()
    columns = zip(
        [date.fromordinal(begin + at) for at in firsts],
        [date.fromordinal(begin + at - 1) for at in ends],
        *map(in_each, sums.values()),
        in_each(active.astype(np.int64)),
        in_each(known.astype(np.int64)),
        np.logical_and.reduceat(complete, firsts).tolist(),
        strict=True,
    )
    return [_period(*column) for column in columns]


def _period(  # noqa: PLR0917 - one of each column
    first_day: date,
    last_day: date,
    sessions: int,
    written: int,
    seconds: float,
    with_seconds: int,
    charge_uc: float,
    with_charge: int,
    days_with_session: int,
    days_known: int,
    complete: bool,
) -> HistoryPeriod:
    """A sum is null if there are sessions, and none of them has it."""
    has_seconds = days_known and (with_seconds or not sessions)
    has_charge = days_known and (with_charge or not sessions)
    return HistoryPeriod(  # in the order of its fields: by name it takes twice as long
        first_day,
        last_day,
        sessions if days_known else None,
        written if days_known else None,
        seconds / 60 if has_seconds else None,
        charge_uc / 1000 if has_charge else None,
        days_with_session,
        days_known,
        days_with_session / days_known if days_known else None,
        complete,
    )


def _sums(done: Done, first_day: date, last_day: date) -> dict[str, NDArray[Any]]:
    """`_SUMS` by the local day of each session's own zone."""
    count = (last_day - first_day).days + 1
    sums: dict[str, NDArray[Any]] = {name: np.zeros(count, of) for name, of in _SUMS.items()}
    for zone, are_written, moments, *columns in done.sessions:
        at = places(borders(zone, first_day, last_day), moments)
        inside = at >= 0
        at = at[inside]
        sums["sessions"] += np.bincount(at, minlength=count)
        if are_written:
            sums["written"] += np.bincount(at, minlength=count)
        names = (("seconds", "with_seconds"), ("charge_uc", "with_charge"))
        for (sum_of, known_of), column in zip(names, columns, strict=True):
            values = column[inside]
            known = ~np.isnan(values)
            sums[sum_of] += np.bincount(at[known], values[known], minlength=count)
            sums[known_of] += np.bincount(at[known], minlength=count)
    return sums


_ACCOUNT_ID = bindparam("account_id", type_=Uuid())
_SESSION, _WRITTEN = StimulationSession, WrittenSession
_NULL: ColumnElement[Any] = literal_column("NULL")
_NO_TIMES = [cast(_NULL, _SESSION.started_at.type)] * 3
_NO_FLOATS = [cast(_NULL, LargeBinary)] * 3


def by_zone(
    part: str, row: Any, moment: Any, text: Any, *columns: ColumnElement[bytes]
) -> Select[*tuple[Any, ...]]:
    """A part of the statement, with one row for each time zone: two thousand values of a row are
    read in a tenth of the time of as many rows."""
    return (
        select(
            literal_column(f"CAST('{part}' AS text)"),
            cast(row.time_zone, Text),
            *_NO_TIMES,
            text,
            float_column(func.date_part("epoch", moment)),
            *columns,
            *_NO_FLOATS[len(columns) + 1 :],
        )
        .where(
            row.account_id == _ACCOUNT_ID,
            moment >= bindparam("begin", type_=moment.type),
            moment < bindparam("end", type_=moment.type),
        )
        .group_by(row.time_zone)
    )


# Each row has the columns of `uploads.PARTS`, and after them three of numbers.
PARTS = (
    select(
        literal_column("CAST('account' AS text)"),
        cast(Account.time_zone, Text),
        *_NO_TIMES,
        cast(_NULL, Text),
        *_NO_FLOATS,
    ).where(
        Account.id == _ACCOUNT_ID,
        MAY_READ,
    ),
    by_zone(
        "recorded",
        _SESSION,
        _SESSION.started_at,
        _NULL,
        float_column(_SESSION.stimulating_s),
        float_column(_SESSION.delivered_charge_uc),
    ).where(_SESSION.deleted_at.is_(None)),
    by_zone(
        "written",
        _WRITTEN,
        _WRITTEN.started_at,
        cast(
            func.json_agg(func.json_build_array(_WRITTEN.duration_s, _WRITTEN.level_changes)), Text
        ),
    ).where(_WRITTEN.deleted_at.is_(None), _WRITTEN.shown_with.is_(None)),
    *[part.add_columns(*_NO_FLOATS) for part in uploads.PARTS],
)
"""The parts of the statement. One that reads more begins with them, and gives `done_of` their
rows."""
_STATEMENT = Prepared(union_all(*PARTS), binary=True)


def _whole(period: Period, first_day: date, last_day: date) -> tuple[date, date]:
    """The first and the last day of the periods that these days lie in."""
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
    return _first_of(period, first_day), _last_of(period, last_day)


def _first_of(period: Period, day: date) -> date:
    match period:
        case "day" | "whole":
            return day
        case "week":
            return day - day.weekday() * _DAY
        case "month":
            return day.replace(day=1)


def _last_of(period: Period, day: date) -> date:
    match period:
        case "day" | "whole":
            return day
        case "week":
            return day + (6 - day.weekday()) * _DAY
        case "month":
            next_month = day.replace(day=28) + 4 * _DAY
            return next_month - next_month.day * _DAY


def _firsts(period: Period, first_day: date, last_day: date) -> list[int]:
    """The days on which periods begin, by their distance from the first day, which is one."""
    count = (last_day - first_day).days + 1
    match period:
        case "day":
            return list(range(count))
        case "week":
            return list(range(0, count, 7))
        case "month":
            months = range(_month(first_day), _month(last_day) + 1)
            return [(date(month // 12, month % 12 + 1, 1) - first_day).days for month in months]
        case "whole":
            return [0]


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1
