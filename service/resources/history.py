"""What was done, by the person's own days, weeks and months."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.stimulation.session.history import MAX_DAYS, Period
from service.http import out
from service.http.answers import tagged
from service.http.bearer import ended, is_by_share
from service.http.fields import Schema, Text
from service.http.openapi import Resource
from service.http.reading import reading
from service.shapes.history import HistoryPeriodSchema, periods_shown
from service.shapes.local_days import DaysQuerySchema, days_asked

blp = Resource("history", "What was done, by local days")

# How far back an answer goes if the request does not say: a month, a quarter, a year; a quarter.
USUAL_DAYS: dict[Period, int] = {"day": 30, "week": 91, "month": 365, "whole": 91}


class HistoryQuerySchema(DaysQuerySchema):
    period = Text(
        load_default="day",
        validate=ma.validate.OneOf(list(USUAL_DAYS)),
        about="What one item sums up; `whole`: exactly the days asked for, in one",
    )


class HistorySchema(Schema):
    time_zone = out.text(
        "Europe/Berlin", "The account's. A session counts in the zone of its own time"
    )
    items = out.many(HistoryPeriodSchema)


@blp.get("/v1/history")
@blp.query(HistoryQuerySchema)
@blp.answers(200, HistorySchema)
@blp.etag
@blp.shared("sessions")
def get_history(query: dict[str, Any]) -> Response:
    """Read minutes, charge, adherence and symptoms by local day, week or month

    Weeks begin on Monday. Weeks and months are whole: those that `from` and `to` lie in. A session
    counts on the day that it started on. "No session" (0) and "not uploaded yet" (null) differ.
    """
    kind: Period = query["period"]
    with reading() as read:
        # Who asks is looked up with all else, unless today has to be known before.
        here = "UTC" if "last_day" in query else read.caller().time_zone
        first_day, last_day = days_asked(query, here, usual=USUAL_DAYS[kind], most=MAX_DAYS)
        shown = periods_shown(
            read.line,
            read.account_id,
            [kind],
            first_day,
            last_day,
            with_symptoms=not is_by_share(),
            family_id=read.family_id,
        )
    if shown.time_zone is None:
        raise ended()
    return tagged({"time_zone": shown.time_zone, "items": shown.of_kind[kind]})
