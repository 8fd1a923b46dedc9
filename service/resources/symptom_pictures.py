"""A symptom beside the sessions, as pictures: in a row, as a calendar, and around the sessions."""

from collections.abc import Callable
from typing import Any

from flask import Response

from cymba.errors import NotFound
from cymba.insights.pictures import (
    Picture,
    picture_of_around_use,
    picture_of_calendar,
    picture_of_timeline,
)
from cymba.insights.symptom_days import load_around_use, load_symptom_days
from cymba.voice import Voice, said
from service.http import out
from service.http.answers import tagged
from service.http.bearer import current_account
from service.http.fields import Schema
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.plots import Drawing, ThemeSchema, drawn
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.local_days import DaysQuerySchema, days_asked

blp = Resource("symptom-pictures", "Symptoms beside sessions, as pictures")

USUAL_DAYS, MOST_DAYS = 91, 366
PICTURE = "/v1/history/<string:symptom>/<string:picture>"


class PlotQuerySchema(ThemeSchema, DaysQuerySchema):
    pass


class SymptomPictureSchema(Schema):
    title = out.text("Pain now, day by day")
    alt = out.text(
        "Days shown: 91. With a session: 46. With a rating: 87. In the mean pain now was 4.3, "
        "from 0 to 7.",
        "What the picture shows",
    )


# By name: what loads it, by account, symptom, first and last day; and what draws that.
PICTURES: dict[str, tuple[Callable[..., Any], Callable[[Any, Voice], Picture]]] = {
    "timeline": (load_symptom_days, picture_of_timeline),
    "calendar": (load_symptom_days, picture_of_calendar),
    "around-sessions": (load_around_use, picture_of_around_use),
}
_picture_shown = writer(SymptomPictureSchema)


@blp.get(PICTURE)
@blp.query(DaysQuerySchema)
@blp.answers(200, SymptomPictureSchema)
@blp.etag
@blp.problems("not-found")
def get_symptom_picture(query: dict[str, Any], symptom: str, picture: str) -> Response:
    """What a picture of a symptom and the sessions shows, in words

    `picture` is `timeline` (ratings with the sessions as bars), `calendar` (each day's rating and
    sessions) or `around-sessions` (before and after sessions, beside the same hours of days
    without). At most 366 days. No share reaches them: they show the diary beside the sessions.
    """
    return tagged(_picture_shown(_found(query, symptom, picture).picture))


@drawn(blp, PICTURE, PlotQuerySchema)
@blp.problems("not-found")
def draw_symptom(query: dict[str, Any], symptom: str, picture: str) -> Drawing:
    """A symptom and the sessions as a picture"""
    return _found(query, symptom, picture)


def _found(query: dict[str, Any], symptom: str, picture: str) -> Drawing:
    if picture not in PICTURES:
        raise NotFound(
            said("There is no such picture: it is one of {names}.", names=", ".join(PICTURES))
        )
    with transaction() as session:
        account = current_account(session)
        voice = spoken()
        days = days_asked(query, account.time_zone, usual=USUAL_DAYS, most=MOST_DAYS)
        load, draw = PICTURES[picture]
        seen = load(session, account.id, symptom, *days)
    return Drawing(draw(seen, voice), f"{picture} {seen.shown_hash}", voice)
