"""The report for a clinician: what was done and felt in some days, and what can be said of it."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.database import UnitOfWork
from cymba.insights.responses import load_responses
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Day, Schema
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.under_way import hold
from service.shapes.local_days import EARLIEST, LATEST, days_asked
from service.shapes.report import ReportDays, agreed_to_insights, report_shown
from service.shapes.report_schema import ReportSchema

blp = Resource("report", "The report for a clinician")

USUAL_DAYS, MOST_DAYS = 91, 366


class ReportQuerySchema(Schema):
    first_day = Day(
        validate=ma.validate.Range(min=EARLIEST, max=LATEST),
        metadata={"description": "A local day; a quarter before `last_day` if absent"},
    )
    last_day = Day(
        validate=ma.validate.Range(min=EARLIEST, max=LATEST),
        metadata={"description": "A local day, itself included; today if absent"},
    )


@blp.get("/v1/report")
@blp.query(ReportQuerySchema)
@blp.answers(200, ReportSchema)
@blp.etag
@blp.shared("report")
def get_report(query: dict[str, Any]) -> Response:
    """Read what a clinician may want to know of some days

    Every number is the one that the route shows that it comes from. At most 366 days. Of long lists
    the beginning is there, and how many more there are. A share with this scope reads all of it,
    whatever else it opens.
    """
    return tagged(_shown(query))


def _shown(query: dict[str, Any]) -> dict[str, Any]:
    with transaction() as session:
        account = current_account(session)
    hold(services().reports, account.id)
    voice, now = spoken(), services().now()
    names = ("first_day", "last_day")
    asked = ReportDays(
        *days_asked(query, account.time_zone, usual=USUAL_DAYS, most=MOST_DAYS, names=names)
    )
    with UnitOfWork(services().engine) as session:
        # All of one moment, so that its numbers agree with each other.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        compared = None
        if agreed_to_insights(session, account.id):
            compared = load_responses(session, account.id, now=now)
        return report_shown(session, account.id, asked, compared, voice=voice, now=now)
