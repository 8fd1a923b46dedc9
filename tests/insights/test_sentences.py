"""What a person reads: every grade's sentence, whole, and never a claim."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from cymba.insights import sentences, words
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.statistics import response, side_effect_trend
from cymba.insights.tables import Finding
from cymba.insights.words import Voice

ENGLISH, GERMAN = Voice.of("en"), Voice.of("de-DE")
ENDING = "This does not show that stimulation caused it."


def finding(grade: str, **changes: Any) -> Finding:
    values: dict[str, Any] = {
        "exposure": "charge",
        "outcome": "pain_now",
        "lag": 1,
        "tier": "primary",
        "reasons": [],
        "milestone": 62,
        "pairs_now": 62,
        "effect": -0.84,
        "low": -1.43,
        "high": -0.24,
        "more_days_low": None,
        "more_days_high": None,
    }
    return Finding(
        account_id=uuid4(), grade=grade, changed_at=datetime.now(UTC), **values | changes
    )


def test_a_moderate_finding_reads_as_designed() -> None:
    assert sentences.of_finding(ENGLISH, finding("moderate")) == (
        "On days with more delivered charge, next-morning pain now was on average 0.8 points lower "
        "(0.2 to 1.4), after accounting for pain now before the session, trend and weekday, over "
        f"62 days. {ENDING}"
    )
    assert sentences.of_finding(GERMAN, finding("moderate")) == (
        "An Tagen mit mehr Ladung lag „Schmerz jetzt“ am nächsten Morgen im Mittel um 0,8 Punkte "
        "niedriger (0,2 bis 1,4), unter Berücksichtigung von „Schmerz jetzt“ vor der Sitzung, "
        "Verlauf und Wochentag, über 62 Tage. Das zeigt nicht, dass die Stimulation es "
        "verursacht hat."
    )


@pytest.mark.parametrize("voice", [ENGLISH, GERMAN])
@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_every_observed_finding_ends_with_what_it_does_not_show(voice: Voice, lag: int) -> None:
    for grade in ("early_signal", "moderate", "strong"):
        said = sentences.of_finding(voice, finding(grade, lag=lag))
        assert said.endswith(voice.translate(ENDING))


def test_an_early_signal_says_that_it_may_be_chance_and_worse_says_why() -> None:
    said = sentences.of_finding(
        ENGLISH, finding("early_signal", effect=0.5, low=-0.1, high=1.1, reasons=["more_is_worse"])
    )
    assert "0.5 points higher (-0.1 to 1.1)" in said
    assert "may well be chance" in said
    assert "stimulate more when they feel worse" in said


def test_what_is_missing_is_said_with_a_range() -> None:
    collecting = finding(
        "collecting", milestone=0, pairs_now=9, effect=None, low=None, high=None,
        more_days_low=19, more_days_high=60,
    )  # fmt: skip
    said = sentences.of_finding(ENGLISH, collecting)
    assert said.startswith("9 of 28 complete days so far.")
    assert said.endswith("About 19 to 60 more days may be needed.")


def test_no_link_and_a_refusal_are_answers() -> None:
    assert "likely smaller than 1.0 points" in sentences.of_finding(
        ENGLISH, finding("no_clear_link")
    )
    refused = finding("not_enough", effect=None, low=None, high=None)
    assert sentences.of_finding(ENGLISH, refused).startswith("Delivered charge changed too little")


def test_a_programmes_share_is_named_by_the_programme() -> None:
    said = sentences.of_finding(ENGLISH, finding("strong", exposure="programme:25hz-250us-30s-30s"))
    assert "more 25 Hz, 250 µs, 30/30 s," in said


def test_side_effects_that_fade_say_from_where_to_where() -> None:
    fading = side_effect_trend([1.0] * 10 + [0.0] * 40)
    said = sentences.of_side_effect(ENGLISH, OUTCOMES["cough"], fading, 50)
    assert said.startswith("Cough was reported less often")
    growing = side_effect_trend([0.0] * 30 + [1.0] * 20)
    assert "talk to a clinician" in sentences.of_side_effect(
        ENGLISH, OUTCOMES["cough"], growing, 50
    )
    few = side_effect_trend([1.0, 0.0])
    assert "2 of 20" in sentences.of_side_effect(ENGLISH, OUTCOMES["cough"], few, 2)


@pytest.mark.parametrize(
    ("voice", "begins"), [(ENGLISH, "The 16 answers so far"), (GERMAN, "Die bisher 16 Antworten")]
)
def test_enough_answers_that_say_nothing_are_not_called_too_few(voice: Voice, begins: str) -> None:
    unclear = side_effect_trend([0.0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0])
    said = sentences.of_side_effect(voice, OUTCOMES["cough"], unclear, 16)
    assert said.startswith(begins)


def test_a_response_is_told_as_a_share_of_the_first_weeks() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(7, 0.7, 30), rng.normal(3, 0.7, 28)
    pain = OUTCOMES["pain_now"]
    assert "% lower" in sentences.of_response(ENGLISH, pain, response(before, after))
    assert "% higher" in sentences.of_response(ENGLISH, pain, response(after[:28], before))
    assert "not clearly changed" in sentences.of_response(
        ENGLISH, pain, response(before, rng.normal(7, 0.7, 28))
    )
    assert "14 days" in sentences.of_response(ENGLISH, pain, response(before[:5], after))


@pytest.mark.parametrize(("p", "told"), [(0.0312, "0.031"), (0.001, "0.001"), (1 / 4096, "0.0002")])
def test_no_p_is_told_as_0(p: float, told: str) -> None:
    result = {"pairs": 14, "effect": -1.0, "low": -1.6, "high": -0.4, "p": p}
    said = sentences.of_trial(ENGLISH, "pain_now", result, planned_pairs=14, stopped=False)
    assert said.endswith(f"p = {told}.")


def test_a_side_effects_small_numbers_are_not_rounded_to_0() -> None:
    """Yes is 1 and no is 0, so that a difference of a tenth matters."""
    rarer = finding("moderate", outcome="cough", effect=-0.124, low=-0.21, high=-0.038)
    said = sentences.of_finding(ENGLISH, rarer)
    assert "0.12 points lower (0.04 to 0.21)" in said
    assert "0.8 points lower (0.2 to 1.4)" in sentences.of_finding(ENGLISH, finding("moderate"))


@pytest.mark.parametrize(
    ("voice", "advice"),
    [(ENGLISH, "talk to a clinician"), (GERMAN, "einer Ärztin")],
)
def test_more_of_a_side_effect_is_not_explained_away(voice: Voice, advice: str) -> None:
    changes = {"effect": 0.15, "low": 0.05, "high": 0.25, "reasons": ["more_is_worse"]}
    more = finding("early_signal", outcome="palpitations", **changes)
    worse = finding("early_signal", outcome="pain_now", **changes)
    said, of_pain = sentences.of_finding(voice, more), sentences.of_finding(voice, worse)
    assert advice in said
    assert advice not in of_pain
    assert voice.translate(words.MORE_IS_WORSE) in of_pain
    assert voice.translate(words.MORE_IS_WORSE) not in said
    assert said.endswith(voice.translate(words.DISCLAIMER))
