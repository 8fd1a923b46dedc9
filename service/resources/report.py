"""The report for a clinician: what was done and felt in some days, and what can be said of it."""

from typing import Any, NamedTuple

import marshmallow as ma
import structlog
from flask import Response

from cymba.database import UnitOfWork, line_of
from cymba.insights.responses import load_responses
from cymba.reports import typesetting
from cymba.reports.document import document_of
from cymba.voice import Voice
from service.http.answers import dumps, tagged
from service.http.bearer import current_account
from service.http.etags import set_etag
from service.http.fields import Day, Schema
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.problems import Unavailable
from service.http.services import services
from service.http.transaction import transaction
from service.http.under_way import hold
from service.shapes.history import periods_shown
from service.shapes.local_days import EARLIEST, LATEST, days_asked
from service.shapes.report import ReportDays, agreed_to_insights, report_shown
from service.shapes.report_schema import ReportSchema

blp = Resource("report", "The report for a clinician")

USUAL_DAYS, MOST_DAYS = 91, 366
PDF = "application/pdf"

_log = structlog.get_logger(__name__)


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
    return tagged(_read(query).report)


@blp.get("/v1/report.pdf")
@blp.query(ReportQuerySchema)
@blp.answers(200, {"type": "string", "format": "binary"}, content_type=PDF)
@blp.etag
@blp.problems("report-not-made")
@blp.shared("report")
def print_report(query: dict[str, Any]) -> Response:
    """The same as a PDF, to be printed or handed on

    Its numbers are those of `/v1/report`. It is tagged (PDF/UA-1), so that it can be read aloud.
    """
    read = _read(query)
    response = Response(content_type=PDF)
    shown = f"{typesetting.VERSION} {read.voice.locale} ".encode() + dumps([read.report, read.days])
    if set_etag(response, shown).status_code == 304:
        return response
    document = document_of(read.report, read.days, read.voice)
    try:
        response.set_data(typesetting.typeset(document, made_on=read.report["made_on"]))
    except typesetting.NotSetError as error:
        _log.warning("a report was not made", error=str(error))
        raise Unavailable(
            "The report could not be printed. Ask for fewer days, or try again later.",
            code="report-not-made",
        ) from None
    name = f"cymba-report-{read.report['last_day']}.pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


class _Read(NamedTuple):
    """`days`: each of them as `/v1/history` shows it."""

    report: dict[str, Any]
    days: list[dict[str, Any]]
    voice: Voice


def _read(query: dict[str, Any]) -> _Read:
    with transaction() as session:
        account = current_account(session)
    hold(services().reports, account.id)
    voice, now = spoken(), services().now()
    names = ("first_day", "last_day")
    asked = ReportDays(
        *days_asked(query, account.time_zone, usual=USUAL_DAYS, most=MOST_DAYS, names=names)
    )

    def read(session: UnitOfWork) -> _Read:
        # All of one moment, so that its numbers agree with each other.
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        shown = periods_shown(line_of(session), account.id, asked.kinds, *asked, with_symptoms=True)
        periods = shown.of_kind
        compared = None
        if agreed_to_insights(session, account.id):
            compared = load_responses(session, account.id, now=now)
        report = report_shown(session, account.id, asked, periods, compared, voice=voice, now=now)
        return _Read(report, periods["day"], voice)

    return services().large_reads.read(read)
