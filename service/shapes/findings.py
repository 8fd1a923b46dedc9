"""A finding as the API shows it: in the list, in full, and in the sync feed."""

from typing import Any

import marshmallow as ma

from cymba.insights import sentences
from cymba.insights.exposures import EXPOSURES
from cymba.insights.findings import entity_id
from cymba.insights.statistics import Grade, Reason
from cymba.insights.tables import Finding
from cymba.insights.words import Voice
from service.http.fields import Schema
from service.http.rounding import rounded

_UNITS = {exposure.name: exposure.unit for exposure in EXPOSURES}

FINDING_EXAMPLE = {
    "id": "charge~pain_now~1",
    "exposure": "charge",
    "exposure_title": "Delivered charge",
    "outcome": "pain_now",
    "outcome_title": "Pain now",
    "lag": 1,
    "tier": "primary",
    "grade": "moderate",
    "sentence": "On days with more delivered charge, next-morning pain now was on average 0.8 "
    "points lower (0.2 to 1.4), after accounting for pain now before the session, trend and "
    "weekday, over 80 days. This does not show that stimulation caused it.",
    "effect": -0.84,
    "low": -1.43,
    "high": -0.24,
    "contrast": 11.3,
    "contrast_unit": "mC",
    "n": 80,
    "pairs_now": 91,
    "days": 150,
    "exposure_coverage": 0.98,
    "outcome_coverage": 0.71,
    "sequential_p": 0.012,
    "reasons": ["sequential_p", "tier_test_passed", "halves_agree"],
    "more_days": None,
    "method_version": "1",
    "input_hash": "6d0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
    "version": 3,
    "changed_at": "2026-06-04T04:10:07.412000Z",
}


class MoreDaysSchema(Schema):
    low = ma.fields.Integer(required=True)
    high = ma.fields.Integer(required=True)


class FindingSchema(Schema):
    """What a diary says of one exposure and one outcome at one lag. Never that one caused the
    other. Between milestones nothing of it moves but `pairs_now`, `days` and the coverages."""

    id = ma.fields.String(required=True)
    exposure = ma.fields.String(required=True)
    exposure_title = ma.fields.String(required=True)
    outcome = ma.fields.String(required=True)
    outcome_title = ma.fields.String(required=True)
    lag = ma.fields.Integer(
        required=True,
        metadata={"description": "0: later the same day; 1 to 3: mornings that many days after"},
    )
    tier = ma.fields.String(required=True, validate=ma.validate.OneOf(["primary", "exploratory"]))
    grade = ma.fields.String(
        required=True, validate=ma.validate.OneOf([str(grade) for grade in Grade])
    )
    sentence = ma.fields.String(
        required=True, metadata={"description": "In the account's language; show it whole"}
    )
    effect = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "In the outcome's points, from lower to higher days; null: none"},
    )
    low = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Of the interval that holds over all looks with 95 %"},
    )
    high = ma.fields.Float(required=True, allow_none=True)
    contrast = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Mean exposure of higher days minus that of lower days"},
    )
    contrast_unit = ma.fields.String(required=True, metadata={"description": "UCUM"})
    n = ma.fields.Integer(
        required=True, metadata={"description": "Complete days it rests on: its milestone"}
    )
    pairs_now = ma.fields.Integer(
        required=True, metadata={"description": "Complete days there are by now"}
    )
    days = ma.fields.Integer(required=True)
    exposure_coverage = ma.fields.Float(
        required=True, metadata={"description": "Share of the days whose exposure is known"}
    )
    outcome_coverage = ma.fields.Float(
        required=True, metadata={"description": "Share of the days that have a rating"}
    )
    sequential_p = ma.fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "p that holds over all ten looks"},
    )
    reasons = ma.fields.List(
        ma.fields.String(validate=ma.validate.OneOf([str(reason) for reason in Reason])),
        required=True,
        metadata={"description": "Why it has this grade"},
    )
    more_days = ma.fields.Nested(
        MoreDaysSchema,
        required=True,
        allow_none=True,
        metadata={"description": "That may be needed; null: none, or more than can be said"},
    )
    method_version = ma.fields.String(required=True)
    input_hash = ma.fields.String(
        required=True,
        metadata={"description": "Of what it was computed from; empty before the first milestone"},
    )
    version = ma.fields.Integer(required=True)
    changed_at = ma.fields.DateTime(required=True)


def finding_shown(finding: Finding, voice: Voice) -> dict[str, Any]:
    more = None
    if finding.more_days_low is not None and finding.more_days_high is not None:
        more = {"low": finding.more_days_low, "high": finding.more_days_high}
    shown = {
        "id": entity_id(finding.exposure, finding.outcome, finding.lag),
        "exposure": finding.exposure,
        "exposure_title": sentences.exposure_title(voice, finding.exposure),
        "outcome": finding.outcome,
        "outcome_title": sentences.outcome_title(voice, finding.outcome),
        "lag": finding.lag,
        "tier": finding.tier,
        "grade": finding.grade,
        "sentence": sentences.of_finding(voice, finding),
        "effect": finding.effect,
        "low": finding.low,
        "high": finding.high,
        "contrast": finding.contrast,
        "contrast_unit": _UNITS.get(finding.exposure, "1"),
        "n": finding.milestone,
        "pairs_now": finding.pairs_now,
        "days": finding.days,
        "exposure_coverage": finding.exposure_coverage,
        "outcome_coverage": finding.outcome_coverage,
        "sequential_p": finding.sequential_p,
        "reasons": finding.reasons,
        "more_days": more,
        "method_version": finding.method_version,
        "input_hash": finding.input_hash,
        "version": finding.version,
        "changed_at": finding.changed_at,
    }
    return rounded(shown)
