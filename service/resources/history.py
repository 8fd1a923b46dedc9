"""What was done, by the person's own days, weeks and months."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma
from flask import Response

from cymba.stimulation.session.history import MAX_DAYS, Period, history
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Day, Schema, Text, validation_failed
from service.http.openapi import Resource
from service.http.rounding import rounded
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("history", "What was done, by local days")

EARLIEST, LATEST = date(2000, 1, 1), date(2199, 12, 31)
# How far back an answer goes if the request does not say: a month, a quarter, a year.
USUAL_DAYS: dict[Period, int] = {"day": 30, "week": 91, "month": 365}


class HistoryQuerySchema(Schema):
    period = Text(load_default="day", validate=ma.validate.OneOf(["day", "week", "month"]))
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


class PeriodSchema(Schema):
    """null: of none of the days it is known whether there was a session."""

    first_day = ma.fields.Date(required=True)
    last_day = ma.fields.Date(required=True)
    sessions = ma.fields.Integer(required=True, allow_none=True)
    stimulating_min = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "Minutes with current"}
    )
    delivered_charge_mc = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "In millicoulomb; null also where no session tells its charge"},
    )
    days_with_session = ma.fields.Integer(required=True)
    days_known = ma.fields.Integer(
        required=True,
        metadata={"description": "Days with a session, and days that certainly had none"},
    )
    adherence = ma.fields.Float(
        required=True, allow_none=True, metadata={"description": "`days_with_session / days_known`"}
    )
    complete = ma.fields.Boolean(
        required=True, metadata={"description": "All that the devices recorded is uploaded"}
    )


class HistorySchema(Schema):
    time_zone = ma.fields.String(
        required=True,
        metadata={"description": "The account's. A session counts in the zone of its own time"},
    )
    items = ma.fields.List(ma.fields.Nested(PeriodSchema), required=True)


@blp.get("/v1/history")
@blp.query(HistoryQuerySchema)
@blp.answers(
    200,
    HistorySchema,
    example={
        "time_zone": "Europe/Berlin",
        "items": [
            {
                "first_day": "2026-03-02",
                "last_day": "2026-03-08",
                "sessions": 9,
                "stimulating_min": 135.0,
                "delivered_charge_mc": 101.2,
                "days_with_session": 6,
                "days_known": 7,
                "adherence": 0.857,
                "complete": True,
            }
        ],
    },
)
@blp.etag
@blp.shared("sessions")
def get_history(query: dict[str, Any]) -> Response:
    """Read minutes, charge and adherence by local day, week or month

    Weeks begin on Monday. Periods are whole: those that `from` and `to` lie in. A session counts
    on the day that it started on. "No session" (0) and "not uploaded yet" (null) differ.
    """
    with transaction() as session:
        account = current_account(session)
        first_day, last_day = _days(query, account.time_zone)
        items = history(session, account.id, query["period"], first_day, last_day)
        time_zone = account.time_zone
    return tagged({"time_zone": time_zone, "items": [rounded(asdict(item)) for item in items]})


def _days(query: dict[str, Any], time_zone: str) -> tuple[date, date]:
    last_day = query.get("last_day") or services().now().astimezone(ZoneInfo(time_zone)).date()
    usual = timedelta(days=USUAL_DAYS[query["period"]] - 1)
    first_day = query.get("first_day") or max(EARLIEST, last_day - usual)
    if first_day > last_day:
        raise validation_failed({"query": {"to": ["Must not be before `from`."]}})
    if (last_day - first_day).days >= MAX_DAYS:
        raise validation_failed({"query": {"from": [f"More than {MAX_DAYS} days before `to`."]}})
    return first_day, last_day
