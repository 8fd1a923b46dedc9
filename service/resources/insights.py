"""Links between what was done and what was felt: all findings, and one pair in full."""

import math
from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import consent
from cymba.insights import findings
from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.pairs import PairView, load_pair
from cymba.insights.pictures import picture_of_pair
from cymba.insights.words import DISCLAIMER
from service.http import out
from service.http.answers import tagged
from service.http.bearer import consenting_account
from service.http.examples import example_of
from service.http.fields import Schema, Whole
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.plots import Drawing, ThemeSchema, drawn
from service.http.reading import reading
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.findings import FindingSchema, clearest_first, finding_shown

blp = Resource("insights", "Links between sessions and symptoms")

PAIR = "/v1/insights/correlations/<string:exposure>/<string:outcome>"


class FindingLookSchema(Schema):
    """What was shown at one milestone; it can be made again from the inputs of that hash."""

    milestone = out.whole(80)
    effect = out.number(-0.84, null=True)
    low = out.number(-1.43, null=True)
    high = out.number(-0.24, null=True)
    p = out.number(0.0018, null=True)
    sequential_p = out.number(0.012)
    follows_p = ma.fields.Float(
        load_default=None,
        allow_none=True,
        metadata={"description": "Of the exposure following the rating before it"},
    )
    input_hash = out.text("6d0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718")


class CorrelationsSchema(Schema):
    primary = out.many(FindingSchema, "The questions that were fixed in advance: show these")
    exploratory = out.many(
        FindingSchema, "All else, the clearest first: keep it folded away", example=[]
    )
    disclaimer = out.text(DISCLAIMER)
    method_version = out.text(METHOD_VERSION)
    computed_at = out.instant(
        "2026-06-04T04:10:07.412000Z", "null: not yet, ask again soon", null=True
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


class CorrelationPointSchema(Schema):
    """One row of the regression. `partial_…` are after all else: their slope is the effect."""

    exposure_day = out.day("2026-03-01")
    outcome_day = out.day("2026-03-02")
    exposure = out.number(11.2)
    outcome = out.number(4.0)
    partial_exposure = out.number(3.1)
    partial_outcome = out.number(-0.6)
    residual = out.number(-0.2)
    leverage = out.number(0.14)


class CorrelationResidualsSchema(Schema):
    correlation = out.number(
        0.08, "Of residuals on successive days; far from 0 is a warning", null=True
    )
    standard_deviation = out.number(1.1)
    largest = out.number(2.6, "In standard deviations, without its sign")
    largest_leverage = out.number(0.31, "Of one day, 0 to 1; near 1 that day alone decides")


class CorrelationDetailSchema(Schema):
    finding = out.nested(FindingSchema)
    lags = out.many(FindingSchema)
    looks = out.many(FindingLookSchema)
    points = out.many(
        CorrelationPointSchema, "The table behind the finding; empty where there is no estimate"
    )
    residuals = out.nested(CorrelationResidualsSchema, null=True)
    is_current = out.flag(True, "false: the days have changed, and it is about to be made anew")
    alt = out.text(
        f"{example_of(FindingSchema)['sentence']} Days shown: 150. Dots: pain now. Bars: "
        "stimulation.",
        "What the picture shows",
    )


_look_shown = writer(FindingLookSchema)
_point_shown = writer(CorrelationPointSchema)
_residuals_shown = writer(CorrelationResidualsSchema)


@blp.get("/v1/insights/correlations")
@blp.answers(200, CorrelationsSchema)
@blp.etag
@blp.problems("consent-required")
@blp.shared("insights")
def list_correlations() -> Response:
    """What sessions and symptoms have to do with each other, and how sure that is

    A refusal is an answer too: `grade` and `reasons` say what is missing, `more_days` how long it
    may take. Findings move at milestones only, so looking often finds nothing by chance.
    """
    with reading() as read:
        account = read.caller()
        consent.require(read.line, account.id, "insights")
        found = findings.shown(read.line, account.id)
        computed_at = findings.computed_at(read.line, account.id)
    voice = spoken()
    body = {
        "primary": [finding_shown(one, voice) for one in found if one.tier == "primary"],
        "exploratory": [
            finding_shown(one, voice)
            for one in sorted(found, key=clearest_first)
            if one.tier != "primary"
        ],
        "disclaimer": voice.translate(DISCLAIMER),
        "method_version": METHOD_VERSION,
        "computed_at": computed_at,
    }
    return tagged(body)


@blp.get(PAIR)
@blp.query(LagQuerySchema)
@blp.answers(200, CorrelationDetailSchema)
@blp.etag
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def get_correlation(query: dict[str, Any], exposure: str, outcome: str) -> Response:
    """One pair in full: every lag and look, the days behind it, and what speaks against it"""
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        view = load_pair(session, account.id, exposure, outcome, lag=query.get("lag"))
        body = {
            "finding": finding_shown(view.finding, voice),
            "lags": [finding_shown(one, voice) for one in view.lags],
            "looks": [_look_shown(look) for look in view.finding.looks],
            "points": _points(view),
            "residuals": _residuals(view),
            "is_current": view.is_current,
            "alt": picture_of_pair(view, voice).alt,
        }
    return tagged(body)


@drawn(blp, PAIR, PairQuerySchema)
@blp.problems("consent-required", "not-found")
@blp.shared("insights")
def draw_correlation(query: dict[str, Any], exposure: str, outcome: str) -> Drawing:
    """The pair as a picture: the days, the fit with its band, the lags"""
    with transaction() as session:
        account = consenting_account(session)
        voice = spoken()
        view = load_pair(session, account.id, exposure, outcome, lag=query.get("lag"))
        return Drawing(picture_of_pair(view, voice), view.shown_hash, voice)


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
    return [_point_shown(dict(zip(columns, row, strict=True))) for row in rows]


def _residuals(view: PairView) -> dict[str, Any] | None:
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
    return _residuals_shown(shown)
