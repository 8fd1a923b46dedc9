"""What was done, by the person's own days, weeks and months."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from flask import Response

from cymba.insights.symptoms import SymptomRated, symptoms_rated
from cymba.stimulation.session.history import MAX_DAYS, Period, history
from service.http import out
from service.http.answers import tagged
from service.http.bearer import is_by_share
from service.http.fields import Schema, Text
from service.http.openapi import Resource
from service.http.reading import reading
from service.http.writing import writer
from service.shapes.local_days import DaysQuerySchema, days_asked

blp = Resource("history", "What was done, by local days")

# How far back an answer goes if the request does not say: a month, a quarter, a year.
USUAL_DAYS: dict[Period, int] = {"day": 30, "week": 91, "month": 365}


class HistoryQuerySchema(DaysQuerySchema):
    period = Text(
        load_default="day",
        validate=ma.validate.OneOf(["day", "week", "month"]),
        about="What one item sums up",
    )


class SymptomRatingSchema(Schema):
    item = out.text("pain_now", "Of the diary")
    mean = out.number(4.5, "Of its ratings, in the item's own points")
    ratings = out.whole(6)


class HistoryPeriodSchema(Schema):
    """null: it is not known of any of the days whether there was a session."""

    first_day = out.day("2026-03-02")
    last_day = out.day("2026-03-08")
    sessions = out.whole(9, null=True)
    sessions_written = out.whole(
        2, "Of them, those that no device recorded: by a phone's timer, or by hand", null=True
    )
    stimulating_min = out.number(135.0, "Minutes with current", null=True)
    delivered_charge_mc = out.number(
        101.2, "In millicoulomb; null also if no session's charge is known", null=True
    )
    days_with_session = out.whole(6)
    days_known = out.whole(7, "Days with a session, and days that certainly had none")
    adherence = out.number(0.857, "`days_with_session / days_known`", null=True)
    complete = out.flag(
        True,
        "No session of it can be missing: what devices recorded is uploaded, and where the person "
        "is the recorder, they said that there was none",
    )
    symptoms = out.many(
        SymptomRatingSchema,
        "Ratings, by the day they were felt on; symptoms without a rating are left out. null for "
        "a share, because the diary has a scope of its own",
        null=True,
        source=out.GIVEN,
    )


class HistorySchema(Schema):
    time_zone = out.text(
        "Europe/Berlin", "The account's. A session counts in the zone of its own time"
    )
    items = out.many(HistoryPeriodSchema)


_period_shown = writer(HistoryPeriodSchema)
_symptom_shown = writer(SymptomRatingSchema)


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
    with reading() as read:
        account = read.caller()
        usual = USUAL_DAYS[query["period"]]
        first_day, last_day = days_asked(query, account.time_zone, usual=usual, most=MAX_DAYS)
        items = history(read.line, account.id, query["period"], first_day, last_day)
        time_zone = account.time_zone
        symptoms: Sequence[list[SymptomRated] | None] = [None] * len(items)
        if not is_by_share():
            spans = [(item.first_day, item.last_day) for item in items]
            symptoms = symptoms_rated(read.line, account.id, spans)
    shown = [
        _period_shown(item, symptoms=rated and [_symptom_shown(one) for one in rated])
        for item, rated in zip(items, symptoms, strict=True)
    ]
    return tagged({"time_zone": time_zone, "items": shown})
