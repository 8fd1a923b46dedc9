"""Local days that a request asks for."""

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma

from cymba.voice import said
from service.http.fields import Day, Schema, validation_failed
from service.http.services import services

EARLIEST, LATEST = date(2000, 1, 1), date(2199, 12, 31)


class DaysQuerySchema(Schema):
    first_day = Day(
        data_key="from",
        validate=ma.validate.Range(min=EARLIEST, max=LATEST),
        metadata={"description": "A local day; a month, a quarter or a year before `to` if absent"},
    )
    last_day = Day(
        data_key="to",
        validate=ma.validate.Range(min=EARLIEST, max=LATEST),
        metadata={"description": "A local day, itself included; today if absent"},
    )


def days_asked(
    query: dict[str, Any],
    time_zone: str,
    *,
    usual: int,
    most: int,
    names: tuple[str, str] = ("from", "to"),
) -> tuple[date, date]:
    """`from` and `to` of a query, or else the `usual` days up to `to`, or to today. `names`: of the
    two parameters, if they are others."""
    first_name, last_name = names
    last_day = query.get("last_day") or services().now().astimezone(ZoneInfo(time_zone)).date()
    first_day = query.get("first_day") or max(EARLIEST, last_day - timedelta(days=usual - 1))
    if first_day > last_day:
        before = said("Must not be before `{name}`.", name=first_name)
        raise validation_failed({"query": {last_name: [before]}})
    if (last_day - first_day).days >= most:
        too_long = said("More than {most} days before `{name}`.", most=most, name=last_name)
        raise validation_failed({"query": {first_name: [too_long]}})
    return first_day, last_day
