"""Where side effects tend over the sessions, and how far symptoms have come."""

import math
from typing import Any

import marshmallow as ma
from flask import Response

from cymba.errors import NotFound
from cymba.insights import sentences
from cymba.insights.pictures import picture_of_response, picture_of_side_effect
from cymba.insights.responses import Comparison, Period, load_responses
from cymba.insights.side_effects import SideEffect, load_side_effects
from cymba.insights.statistics import Course, Interval, ResponseGrade, Threshold
from cymba.insights.words import Voice
from service.http.answers import tagged
from service.http.bearer import consenting_account
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.plots import PNG, SVG, Kind, ThemeSchema, plot
from service.http.rounding import rounded
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("courses", "Side effects over sessions, and symptoms then and now")

SIDE_EFFECT = "/v1/insights/side-effects/<string:item>"
RESPONSE = "/v1/insights/response/<string:outcome>"

SIDE_EFFECT_EXAMPLE = {
    "item": "tingling",
    "title": "Tingling",
    "course": "fading",
    "sentence": "Tingling was reported less often with each session: from 81 % of early sessions "
    "to 6 % of recent ones, over 56 answers.",
    "slope": -0.74,
    "low": -1.2,
    "high": -0.28,
    "interval": "bounded",
    "p": 0.0021,
    "milestone": 56,
    "answers": 69,
    "yes": 14,
    "sessions": 114,
    "alt": "Tingling was reported less often with each session.",
    "input_hash": "1b0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
}
PERIOD_EXAMPLE = {
    "first_day": "2026-01-05",
    "last_day": "2026-02-01",
    "mean": 6.1,
    "rated_days": 24,
}
COMPARISON_EXAMPLE = {
    "outcome": "pain_now",
    "title": "Pain now",
    "grade": "likely",
    "threshold": "moderate",
    "sentence": "Compared with your first weeks, pain now in the four weeks up to June 3, 2026 "
    "looks about 34 % lower (12 % to 52 %), which is less certain. This does not show that "
    "stimulation caused it.",
    "change_ratio": -0.34,
    "low": -0.52,
    "high": -0.12,
    "change_points": -2.1,
    "two_points": True,
    "baseline_kind": "before_first_session",
    "baseline": PERIOD_EXAMPLE,
    "current": PERIOD_EXAMPLE | {"first_day": "2026-05-07", "last_day": "2026-06-03", "mean": 4.0},
    "alt": "The mean was 6.1 at first and 4.0 in the last 28 days.",
    "input_hash": "2c0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
}


class SideEffectSchema(Schema):
    item = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    course = ma.fields.String(
        required=True, validate=ma.validate.OneOf([str(course) for course in Course])
    )
    sentence = ma.fields.String(required=True)
    slope = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Change of the log odds with each doubling of the sessions"},
    )
    low = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Of the slope's interval over all looks, which leaves 0 out exactly "
            "where the course is `fading` or `growing`; null too where nothing bounds it"
        },
    )
    high = ma.fields.Float(required=True, allow_none=True)
    interval = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf([str(interval) for interval in Interval]),
        metadata={
            "description": "`no_lower_bound`: every yes came before every no; `no_upper_bound`: "
            "the other way round; `not_converged`: it could not be computed"
        },
    )
    p = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={
            "description": "Over all looks: at most 0.02 where the course is `fading`, at most "
            "0.08 where it is `growing`"
        },
    )
    milestone = ma.fields.Integer(
        required=True,
        metadata={"description": "Answers that the course rests on; 0 before the first look"},
    )
    answers = ma.fields.Integer(required=True)
    yes = ma.fields.Integer(required=True)
    sessions = ma.fields.Integer(required=True)
    alt = ma.fields.String(required=True)
    input_hash = ma.fields.String(required=True)


class SideEffectsSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(SideEffectSchema), required=True)


class ComparedPeriodSchema(Schema):
    first_day = ma.fields.Date(required=True)
    last_day = ma.fields.Date(required=True)
    mean = ma.fields.Float(required=True, allow_none=True)
    rated_days = ma.fields.Integer(required=True)


class ComparisonSchema(Schema):
    """Then and now; that it came from stimulation is not said, as nothing else was compared."""

    outcome = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    grade = ma.fields.String(
        required=True, validate=ma.validate.OneOf([str(grade) for grade in ResponseGrade])
    )
    threshold = ma.fields.String(
        required=True,
        allow_none=True,
        validate=ma.validate.OneOf([str(threshold) for threshold in Threshold]),
        metadata={"description": "That `confirmed` and `likely` refer to: 30 % or 50 % lower"},
    )
    sentence = ma.fields.String(required=True)
    change_ratio = ma.fields.Float(required=True, allow_none=True)
    low = ma.fields.Float(required=True, allow_none=True)
    high = ma.fields.Float(required=True, allow_none=True)
    change_points = ma.fields.Float(required=True, allow_none=True)
    two_points = ma.fields.Boolean(
        required=True, metadata={"description": "Lower by at least 2 points"}
    )
    baseline_kind = ma.fields.String(
        required=True, validate=ma.validate.OneOf(["before_first_session", "first_weeks"])
    )
    baseline = ma.fields.Nested(ComparedPeriodSchema, required=True)
    current = ma.fields.Nested(ComparedPeriodSchema, required=True)
    alt = ma.fields.String(required=True)
    input_hash = ma.fields.String(required=True)


class ResponsesSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(ComparisonSchema), required=True)


@blp.get("/v1/insights/side-effects")
@blp.answers(200, SideEffectsSchema, example={"items": [SIDE_EFFECT_EXAMPLE]})
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_side_effects() -> Response:
    """Whether side effects fade, stay or grow from session to session

    An answer belongs to the session that its diary entry names, or else to the last one before.
    """
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        found = load_side_effects(session, account.id)
    return tagged({"items": [_side_effect_shown(one, voice) for one in found]})


@blp.get(f"{SIDE_EFFECT}/plot.svg")
@blp.query(ThemeSchema)
@blp.answers(200, {"type": "string"}, content_type=SVG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_side_effect(query: dict[str, Any], item: str) -> Response:
    """A side effect as a picture: each answer, and the curve with its band"""
    return _side_effect_drawn(item, "svg", query["theme"])


@blp.get(f"{SIDE_EFFECT}/plot.png")
@blp.query(ThemeSchema)
@blp.answers(200, {"type": "string", "format": "binary"}, content_type=PNG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_side_effect_png(query: dict[str, Any], item: str) -> Response:
    """The same picture as PNG, 780 pixels wide"""
    return _side_effect_drawn(item, "png", query["theme"])


@blp.get("/v1/insights/response")
@blp.answers(200, ResponsesSchema, example={"items": [COMPARISON_EXAMPLE]})
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_responses() -> Response:
    """How far each symptom has come since the beginning, for those where higher is worse

    Looked at every four weeks and frozen between, so that reading it often finds nothing by chance:
    `current` ends with the last look.
    """
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        compared = load_responses(session, account.id, now=services().now())
    return tagged({"items": [_comparison_shown(one, voice) for one in compared]})


@blp.get(f"{RESPONSE}/plot.svg")
@blp.query(ThemeSchema)
@blp.answers(200, {"type": "string"}, content_type=SVG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_response(query: dict[str, Any], outcome: str) -> Response:
    """A symptom then and now as a picture"""
    return _response_drawn(outcome, "svg", query["theme"])


@blp.get(f"{RESPONSE}/plot.png")
@blp.query(ThemeSchema)
@blp.answers(200, {"type": "string", "format": "binary"}, content_type=PNG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_response_png(query: dict[str, Any], outcome: str) -> Response:
    """The same picture as PNG, 780 pixels wide"""
    return _response_drawn(outcome, "png", query["theme"])


def _side_effect_drawn(item: str, kind: Kind, theme: str) -> Response:
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        found = load_side_effects(session, account.id)
    for one in found:
        if one.outcome.name == item:
            picture = picture_of_side_effect(one, voice)
            return plot(picture, kind, theme, shown_hash=one.shown_hash, voice=voice)
    raise NotFound("This was never answered after a session.")


def _response_drawn(outcome: str, kind: Kind, theme: str) -> Response:
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        compared = load_responses(session, account.id, now=services().now())
    for one in compared:
        if one.outcome.name == outcome:
            picture = picture_of_response(one, voice)
            return plot(picture, kind, theme, shown_hash=one.shown_hash, voice=voice)
    raise NotFound("There is nothing to compare of this.")


def _side_effect_shown(found: SideEffect, voice: Voice) -> dict[str, Any]:
    trend, sessions = found.trend, found.present.size
    shown = {
        "item": found.outcome.name,
        "title": voice.translate(found.outcome.title),
        "course": trend.course,
        "sentence": sentences.of_side_effect(voice, found.outcome, trend, found.answers),
        "slope": _known(trend.slope),
        "low": _known(trend.low),
        "high": _known(trend.high),
        "interval": trend.interval,
        "p": _known(found.p),
        "milestone": trend.n,
        "answers": found.answers,
        "yes": found.yes,
        "sessions": sessions,
        "alt": picture_of_side_effect(found, voice).alt,
        "input_hash": found.input_hash,
    }
    return rounded(shown)


def _comparison_shown(compared: Comparison, voice: Voice) -> dict[str, Any]:
    found = compared.response
    shown = {
        "outcome": compared.outcome.name,
        "title": voice.translate(compared.outcome.title),
        "grade": found.grade,
        "threshold": found.threshold,
        "sentence": sentences.of_response(
            voice, compared.outcome, found, until=compared.current.last_day
        ),
        "change_ratio": _known(found.change_ratio),
        "low": _known(found.low),
        "high": _known(found.high),
        "change_points": _known(found.change_points),
        "two_points": found.two_points,
        "baseline_kind": compared.kind,
        "baseline": _period_shown(compared.baseline, found.baseline_mean, found.baseline_n),
        "current": _period_shown(compared.current, found.current_mean, found.current_n),
        "alt": picture_of_response(compared, voice).alt,
        "input_hash": compared.input_hash,
    }
    return rounded(shown)


def _period_shown(period: Period, mean: float, rated_days: int) -> dict[str, Any]:
    shown = {
        "first_day": period.first_day,
        "last_day": period.last_day,
        "mean": _known(mean),
        "rated_days": rated_days,
    }
    return rounded(shown)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
