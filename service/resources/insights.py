"""Links between what was done and what was felt: all findings, and one pair in full."""

import math
from typing import Any

import marshmallow as ma
from flask import Response

from cymba.insights import findings
from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.pairs import PairView, load_pair
from cymba.insights.pictures import picture_of_pair
from cymba.insights.statistics import Grade
from cymba.insights.tables import Finding, InsightState
from cymba.insights.words import DISCLAIMER, Voice
from service.http.answers import tagged
from service.http.bearer import consenting_account
from service.http.fields import Schema, Whole
from service.http.openapi import Resource
from service.http.plots import PNG, SVG, Kind, ThemeSchema, plot
from service.http.rounding import rounded
from service.http.transaction import transaction
from service.shapes.findings import FINDING_EXAMPLE, FindingSchema, finding_shown

blp = Resource("insights", "Links between sessions and symptoms")

PAIR = "/v1/insights/correlations/<string:exposure>/<string:outcome>"
GRADES = {str(grade): place for place, grade in enumerate(Grade)}


class LookSchema(Schema):
    """What was shown at one milestone; it can be made again from the inputs of that hash."""

    milestone = ma.fields.Integer(required=True)
    effect = ma.fields.Float(required=True, allow_none=True)
    low = ma.fields.Float(required=True, allow_none=True)
    high = ma.fields.Float(required=True, allow_none=True)
    p = ma.fields.Float(required=True, allow_none=True)
    sequential_p = ma.fields.Float(required=True)
    follows_p = ma.fields.Float(
        load_default=None,
        allow_none=True,
        metadata={"description": "Of the exposure following the rating before it"},
    )
    input_hash = ma.fields.String(required=True)


class CorrelationsSchema(Schema):
    primary = ma.fields.List(
        ma.fields.Nested(FindingSchema),
        required=True,
        metadata={"description": "The questions that were fixed in advance: show these"},
    )
    exploratory = ma.fields.List(
        ma.fields.Nested(FindingSchema),
        required=True,
        metadata={"description": "All else, the clearest first: keep it folded away"},
    )
    disclaimer = ma.fields.String(required=True)
    method_version = ma.fields.String(required=True)
    computed_at = ma.fields.DateTime(
        required=True, allow_none=True, metadata={"description": "null: not yet, ask again soon"}
    )


class PairQuerySchema(ThemeSchema):
    lag = Whole(
        in_query=True,
        validate=ma.validate.Range(min=0, max=3),
        metadata={"description": "The next morning if absent, or else the first lag there is"},
    )


class LagQuerySchema(Schema):
    lag = Whole(
        in_query=True,
        validate=ma.validate.Range(min=0, max=3),
        metadata={"description": "Of the scatter; as for the picture"},
    )


class PointSchema(Schema):
    """One row of the regression. `partial_…` are after all else: their slope is the effect."""

    exposure_day = ma.fields.Date(required=True)
    outcome_day = ma.fields.Date(required=True)
    exposure = ma.fields.Float(required=True)
    outcome = ma.fields.Float(required=True)
    partial_exposure = ma.fields.Float(required=True)
    partial_outcome = ma.fields.Float(required=True)
    residual = ma.fields.Float(required=True)
    leverage = ma.fields.Float(required=True)


class ResidualsSchema(Schema):
    correlation = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of residuals on successive days; far from 0 is a warning"},
    )
    standard_deviation = ma.fields.Float(required=True)
    largest = ma.fields.Float(
        required=True, metadata={"description": "In standard deviations, without its sign"}
    )
    largest_leverage = ma.fields.Float(
        required=True,
        metadata={"description": "Of one day, 0 to 1; near 1 that day alone decides"},
    )


class PairSchema(Schema):
    finding = ma.fields.Nested(FindingSchema, required=True)
    lags = ma.fields.List(ma.fields.Nested(FindingSchema), required=True)
    looks = ma.fields.List(ma.fields.Nested(LookSchema), required=True)
    points = ma.fields.List(
        ma.fields.Nested(PointSchema),
        required=True,
        metadata={"description": "The table behind the finding; empty where there is no estimate"},
    )
    residuals = ma.fields.Nested(ResidualsSchema, required=True, allow_none=True)
    is_current = ma.fields.Boolean(
        required=True,
        metadata={"description": "false: the days have changed, and it is about to be made anew"},
    )
    alt = ma.fields.String(required=True, metadata={"description": "What the picture shows"})


POINT_EXAMPLE = {
    "exposure_day": "2026-03-01",
    "outcome_day": "2026-03-02",
    "exposure": 11.2,
    "outcome": 4.0,
    "partial_exposure": 3.1,
    "partial_outcome": -0.6,
    "residual": -0.2,
    "leverage": 0.14,
}
LOOK_EXAMPLE = {
    name: FINDING_EXAMPLE[name] for name in ("effect", "low", "high", "sequential_p", "input_hash")
} | {"milestone": 80, "p": 0.0018}
PAIR_EXAMPLE = {
    "finding": FINDING_EXAMPLE,
    "lags": [FINDING_EXAMPLE],
    "looks": [LOOK_EXAMPLE],
    "points": [POINT_EXAMPLE],
    "residuals": {
        "correlation": 0.08,
        "standard_deviation": 1.1,
        "largest": 2.6,
        "largest_leverage": 0.31,
    },
    "is_current": True,
    "alt": f"{FINDING_EXAMPLE['sentence']} The picture shows 150 days, pain now as dots and "
    "delivered charge as bars.",
}


@blp.get("/v1/insights/correlations")
@blp.answers(
    200,
    CorrelationsSchema,
    example={
        "primary": [FINDING_EXAMPLE],
        "exploratory": [],
        "disclaimer": DISCLAIMER,
        "method_version": METHOD_VERSION,
        "computed_at": "2026-06-04T04:10:07.412000Z",
    },
)
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_correlations() -> Response:
    """What sessions and symptoms have to do with each other, and how sure that is

    A refusal is an answer too: `grade` and `reasons` say what is missing, `more_days` how long it
    may take. Findings move at milestones only, so looking often finds nothing by chance.
    """
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        found = findings.mine(session, account.id)
        state = session.get(InsightState, account.id)
        body = {
            "primary": [finding_shown(one, voice) for one in found if one.tier == "primary"],
            "exploratory": [
                finding_shown(one, voice)
                for one in sorted(found, key=_clearest_first)
                if one.tier != "primary"
            ],
            "disclaimer": voice.translate(DISCLAIMER),
            "method_version": METHOD_VERSION,
            "computed_at": state and state.computed_at,
        }
    return tagged(body)


@blp.get(PAIR)
@blp.query(LagQuerySchema)
@blp.answers(200, PairSchema, example=PAIR_EXAMPLE)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def get_correlation(query: dict[str, Any], exposure: str, outcome: str) -> Response:
    """One pair in full: every lag and look, the days behind it, and what speaks against it"""
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        view = load_pair(session, account.id, exposure, outcome, lag=query.get("lag"))
        body = {
            "finding": finding_shown(view.finding, voice),
            "lags": [finding_shown(one, voice) for one in view.lags],
            "looks": [rounded({**look}) for look in view.finding.looks],
            "points": _points(view),
            "residuals": _residuals(view),
            "is_current": view.is_current,
            "alt": picture_of_pair(view, voice).alt,
        }
    return tagged(body)


@blp.get(f"{PAIR}/plot.svg")
@blp.query(PairQuerySchema)
@blp.answers(200, {"type": "string"}, content_type=SVG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_correlation(query: dict[str, Any], exposure: str, outcome: str) -> Response:
    """The pair as a picture: the days, the fit with its band, the lags"""
    return _drawn(query, exposure, outcome, "svg")


@blp.get(f"{PAIR}/plot.png")
@blp.query(PairQuerySchema)
@blp.answers(200, {"type": "string", "format": "binary"}, content_type=PNG)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_correlation_png(query: dict[str, Any], exposure: str, outcome: str) -> Response:
    """The same picture as PNG, 780 pixels wide"""
    return _drawn(query, exposure, outcome, "png")


def _drawn(query: dict[str, Any], exposure: str, outcome: str, kind: Kind) -> Response:
    with transaction() as session:
        account = consenting_account(session)
        voice = Voice.of(account.locale)
        view = load_pair(session, account.id, exposure, outcome, lag=query.get("lag"))
        picture = picture_of_pair(view, voice)
    return plot(picture, kind, query["theme"], shown_hash=view.shown_hash, voice=voice)


def _clearest_first(finding: Finding) -> tuple[int, float]:
    return -GRADES[finding.grade], 1.0 if finding.sequential_p is None else finding.sequential_p


def _points(view: PairView) -> list[dict[str, Any]]:
    full = view.full
    if full is None:
        return []
    columns = {
        "exposure_day": view.exposed_dates,
        "outcome_day": view.felt_dates,
        "exposure": full.exposure.tolist(),
        "outcome": full.outcome.tolist(),
        "partial_exposure": full.partial_x.tolist(),
        "partial_outcome": full.partial_y.tolist(),
        "residual": full.residuals.tolist(),
        "leverage": full.leverage.tolist(),
    }
    rows = zip(*columns.values(), strict=True)
    return [rounded(dict(zip(columns, row, strict=True))) for row in rows]


def _residuals(view: PairView) -> dict[str, float | None] | None:
    full = view.full
    if full is None:
        return None
    deviation = float(full.residuals.std())
    largest = float(abs(full.residuals).max())
    correlation = full.residual_correlation
    shown = {
        "correlation": None if math.isnan(correlation) else correlation,
        "standard_deviation": deviation,
        "largest": largest / deviation if deviation else 0.0,
        "largest_leverage": float(full.leverage.max()),
    }
    return rounded(shown)
