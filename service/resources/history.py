"""What was done, by the person's own days, weeks and months."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import marshmallow as ma
from flask import Response

from cymba.insights.symptoms import SymptomRated, symptoms_rated
from cymba.stimulation.session.history import MAX_DAYS, Period, history
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account, is_by_share
from service.http.fields import Day, Schema, Text, validation_failed
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

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


class SymptomSchema(Schema):
    item = out.text("pain_now", "Of the diary")
    mean = out.number(4.5, "Of its ratings, in the item's own points")
    ratings = out.whole(6)


class PeriodSchema(Schema):
    """null: of none of the days it is known whether there was a session."""

    first_day = out.day("2026-03-02")
    last_day = out.day("2026-03-08")
    sessions = out.whole(9, null=True)
    stimulating_min = out.number(135.0, "Minutes with current", null=True)
    delivered_charge_mc = out.number(
        101.2, "In millicoulomb; null also where no session tells its charge", null=True
    )
    days_with_session = out.whole(6)
    days_known = out.whole(7, "Days with a session, and days that certainly had none")
    adherence = out.number(0.857, "`days_with_session / days_known`", null=True)
    complete = out.flag(True, "All that the devices recorded is uploaded")
    symptoms = out.many(
        SymptomSchema,
        "How symptoms were rated, each on the day it was felt on; those without a rating are not "
        "here. null for whoever looks by a share: a share of the diary opens the diary",
        null=True,
        source=out.GIVEN,
    )


class HistorySchema(Schema):
    time_zone = out.text(
        "Europe/Berlin", "The account's. A session counts in the zone of its own time"
    )
    items = out.many(PeriodSchema)


_period_shown = writer(PeriodSchema)
_symptom_shown = writer(SymptomSchema)


@blp.get("/v1/history")
@blp.query(HistoryQuerySchema)
@blp.answers(200, HistorySchema)
@blp.etag
@blp.shared("sessions")
def get_history(query: dict[str, Any]) -> Response:
    """Read minutes, charge, adherence and symptoms by local day, week or month

    Weeks begin on Monday. Periods are whole: those that `from` and `to` lie in. A session counts
    on the day that it started on. "No session" (0) and "not uploaded yet" (null) differ.
    """
    with transaction() as session:
        account = current_account(session)
        first_day, last_day = _days(query, account.time_zone)
        items = history(session, account.id, query["period"], first_day, last_day)
        time_zone = account.time_zone
        symptoms: Sequence[list[SymptomRated] | None] = [None] * len(items)
        if not is_by_share():
            spans = [(item.first_day, item.last_day) for item in items]
            symptoms = symptoms_rated(session, account.id, spans)
    shown = [
        _period_shown(item, symptoms=rated and [_symptom_shown(one) for one in rated])
        for item, rated in zip(items, symptoms, strict=True)
    ]
    return tagged({"time_zone": time_zone, "items": shown})


def _days(query: dict[str, Any], time_zone: str) -> tuple[date, date]:
    last_day = query.get("last_day") or services().now().astimezone(ZoneInfo(time_zone)).date()
    usual = timedelta(days=USUAL_DAYS[query["period"]] - 1)
    first_day = query.get("first_day") or max(EARLIEST, last_day - usual)
    if first_day > last_day:
        raise validation_failed({"query": {"to": ["Must not be before `from`."]}})
    if (last_day - first_day).days >= MAX_DAYS:
        raise validation_failed({"query": {"from": [f"More than {MAX_DAYS} days before `to`."]}})
    return first_day, last_day
