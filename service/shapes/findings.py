"""A finding as the API shows it: in the list, in full, and in the sync feed."""

from typing import Any

from cymba.insights.exposures import EXPOSURES
from cymba.insights.finding_texts import texts_of
from cymba.insights.findings import ShownFinding, entity_id
from cymba.insights.statistics import Grade, Reason
from cymba.insights.tables import Finding
from cymba.voice import Voice
from service.http import out
from service.http.fields import Schema
from service.http.writing import writer

_UNITS = {exposure.name: exposure.unit for exposure in EXPOSURES}
GRADES = {str(grade): place for place, grade in enumerate(Grade)}  # the least certain first


class FindingMoreDaysSchema(Schema):
    low = out.whole(20)
    high = out.whole(60)


class FindingSchema(Schema):
    """What a diary says of one exposure and one outcome at one lag. Never that one caused the
    other. Between milestones nothing of it moves but `pairs_now`, `days` and the coverages."""

    id = out.text("charge~pain_now~1", source=out.GIVEN)
    exposure = out.text("charge")
    exposure_title = out.text("Stimulation", source=out.GIVEN)
    outcome = out.text("pain_now")
    outcome_title = out.text("Pain now", source=out.GIVEN)
    lag = out.whole(1, "0: later the same day; 1 to 3: mornings that many days after")
    tier = out.text("primary", one_of=["primary", "exploratory"])
    grade = out.text("moderate", one_of=Grade)
    sentence = out.text(
        "On days with more stimulation, pain now was 0.8 points lower the next morning (0.2 to "
        "1.4). This is an average over 80 days. It takes your rating before the session, the trend "
        "and the weekday into account. This does not show that stimulation caused it.",
        "In the account's language; show it whole",
        source=out.GIVEN,
    )
    effect = out.number(
        -0.84, "In the outcome's points, from lower to higher days; null: none", null=True
    )
    low = out.number(-1.43, "Of the interval that holds over all looks with 95 %", null=True)
    high = out.number(-0.24, null=True)
    contrast = out.number(11.3, "Mean exposure of higher days minus that of lower days", null=True)
    contrast_unit = out.text("mC", "UCUM", source=out.GIVEN)
    n = out.whole(80, "Complete days it rests on: its milestone", source="milestone")
    pairs_now = out.whole(91, "Complete days there are by now")
    days = out.whole(150)
    exposure_coverage = out.number(0.98, "Share of the days whose exposure is known")
    outcome_coverage = out.number(0.71, "Share of the days that have a rating")
    sequential_p = out.number(0.012, "p that holds over all ten looks", null=True)
    reasons = out.many(
        out.text("halves_agree", one_of=Reason),
        "Why it has this grade",
        example=["sequential_p", "tier_test_passed", "halves_agree"],
    )
    more_days = out.nested(
        FindingMoreDaysSchema,
        "That may be needed; null: none, or more than can be said",
        null=True,
        source=out.GIVEN,
        example=None,
    )
    method_version = out.text("1")
    input_hash = out.text(
        "6d0c9a4c1c1a5a9b0a5f0f1f7a8f1b6f3f0a7c6f9be2a4f0a1b2c3d4e5f60718",
        "Of what it was computed from; empty before the first milestone",
    )
    version = out.whole(3)
    changed_at = out.instant("2026-06-04T04:10:07.412000Z")


_finding_shown = writer(FindingSchema)


def clearest_first(finding: ShownFinding) -> tuple[int, float]:
    """Sorts findings so."""
    return -GRADES[finding.grade], 1.0 if finding.sequential_p is None else finding.sequential_p


def finding_shown(finding: Finding | ShownFinding, voice: Voice) -> dict[str, Any]:
    more = None
    if finding.more_days_low is not None and finding.more_days_high is not None:
        more = {"low": finding.more_days_low, "high": finding.more_days_high}
    texts = texts_of(voice, finding)
    return _finding_shown(
        finding,
        id=entity_id(finding.exposure, finding.outcome, finding.lag),
        exposure_title=texts.exposure_title,
        outcome_title=texts.outcome_title,
        sentence=texts.sentence,
        contrast_unit=_UNITS.get(finding.exposure, "1"),
        more_days=more,
    )
