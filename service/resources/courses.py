"""Where side effects tend over the sessions, and how far symptoms have come."""

from typing import Any

from flask import Response

from cymba.errors import NotFound
from cymba.insights.pictures import picture_of_response, picture_of_side_effect
from cymba.insights.responses import load_responses
from cymba.insights.side_effects import load_side_effects
from service.http import out
from service.http.answers import tagged
from service.http.bearer import consenting_account
from service.http.fields import Schema
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.plots import Drawing, drawn
from service.http.services import services
from service.http.transaction import transaction
from service.shapes.courses import (
    SideEffectSchema,
    ThenAndNowSchema,
    comparison_shown,
    side_effect_shown,
)

blp = Resource("courses", "Side effects over sessions, and symptoms then and now")

SIDE_EFFECT = "/v1/insights/side-effects/<string:item>"
RESPONSE = "/v1/insights/response/<string:outcome>"


class SideEffectsSchema(Schema):
    items = out.many(SideEffectSchema)


class ThenAndNowListSchema(Schema):
    items = out.many(ThenAndNowSchema)


@blp.get("/v1/insights/side-effects")
@blp.answers(200, SideEffectsSchema)
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_side_effects() -> Response:
    """Whether side effects fade, stay or grow from session to session

    An answer belongs to the session that its diary entry names, or else to the last one before.
    """
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        found = load_side_effects(session, account.id)
    return tagged({"items": [side_effect_shown(one, voice) for one in found]})


@drawn(blp, SIDE_EFFECT)
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_side_effect(_query: dict[str, Any], item: str) -> Drawing:
    """A side effect as a picture: each answer, and the curve with its band"""
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        found = load_side_effects(session, account.id)
    for one in found:
        if one.outcome.name == item:
            return Drawing(picture_of_side_effect(one, voice), one.shown_hash, voice)
    raise NotFound("This was never answered after a session.")


@blp.get("/v1/insights/response")
@blp.answers(200, ThenAndNowListSchema)
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_responses() -> Response:
    """How far each symptom has come since the beginning

    As a share of the beginning; where higher is better, as of mood or sleep, in points. Looked at
    every four weeks and frozen between, so that reading it often finds nothing by chance: `current`
    ends with the last look.
    """
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        compared = load_responses(session, account.id, now=services().now())
    return tagged({"items": [comparison_shown(one, voice) for one in compared]})


@drawn(blp, RESPONSE)
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_response(_query: dict[str, Any], outcome: str) -> Drawing:
    """A symptom then and now as a picture"""
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        compared = load_responses(session, account.id, now=services().now())
    for one in compared:
        if one.outcome.name == outcome:
            return Drawing(picture_of_response(one, voice), one.shown_hash, voice)
    raise NotFound("There is nothing to compare of this.")
