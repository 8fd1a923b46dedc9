"""The texts of findings, each put into words once for as long as it stands."""

from functools import lru_cache
from typing import NamedTuple

import orjson

from cymba.insights import sentences
from cymba.insights.findings import ShownFinding
from cymba.insights.tables import Finding
from cymba.insights.told import Told
from cymba.voice import Voice


class FindingTexts(NamedTuple):
    exposure_title: str
    outcome_title: str
    sentence: str


def texts_of(voice: Voice, finding: Finding | ShownFinding) -> FindingTexts:
    told = Told(
        finding.exposure,
        finding.outcome,
        finding.lag,
        finding.grade,
        tuple(finding.reasons),
        finding.milestone,
        finding.pairs_now,
        finding.effect,
        finding.low,
        finding.high,
        finding.sequential_p,
        finding.more_days_low,
        finding.more_days_high,
        None if finding.trial is None else orjson.dumps(finding.trial),
    )
    return _texts_of(voice, told)


@lru_cache(maxsize=10_000)
def _texts_of(voice: Voice, told: Told) -> FindingTexts:
    """To put numbers into words takes most of the time of a list of findings, and between
    milestones hardly one changes."""
    return FindingTexts(
        sentences.exposure_title(voice, told.exposure),
        sentences.outcome_title(voice, told.outcome),
        sentences.of_finding(voice, told),
    )
