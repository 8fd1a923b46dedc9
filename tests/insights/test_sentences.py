"""What a person reads: every grade's sentence, whole, and never a claim."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from cymba.insights import sentences, words
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.statistics import ResponseGrade, response, side_effect_trend
from cymba.insights.tables import Finding
from cymba.voice import Voice

ENGLISH, GERMAN = Voice.of("en"), Voice.of("de-DE")
DAY = date(2026, 6, 3)
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
        "sequential_p": 0.012,
        "more_days_low": None,
        "more_days_high": None,
    }
    return Finding(
        account_id=uuid4(), grade=grade, changed_at=datetime.now(UTC), **values | changes
    )


def test_a_moderate_finding_reads_as_designed() -> None:
    assert sentences.of_finding(ENGLISH, finding("moderate")) == (
        "On days with more stimulation, pain now was 0.8 points lower the next morning (0.2 to "
        "1.4). This is an average over 62 days. It takes your rating before the session, the trend "
        f"and the weekday into account. {ENDING}"
    )
    assert sentences.of_finding(GERMAN, finding("moderate")) == (
        "An Tagen mit mehr Stimulation lag „Schmerz jetzt“ am Morgen danach um 0,8 Punkte "
        "niedriger (0,2 bis 1,4). Das ist ein Mittel über 62 Tage. Ihre Angabe vor der Sitzung, "
        "der Verlauf und der Wochentag sind darin beachtet. Das zeigt nicht, dass die Stimulation "
        "es verursacht hat."
    )


@pytest.mark.parametrize("voice", [ENGLISH, GERMAN])
@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_every_observed_finding_ends_with_what_it_does_not_show(voice: Voice, lag: int) -> None:
    for grade in ("early_signal", "moderate", "strong"):
        said = sentences.of_finding(voice, finding(grade, lag=lag))
        assert said.endswith(voice.translate(ENDING))


def test_an_early_signal_says_that_it_may_be_chance_and_worse_says_why() -> None:
    said = sentences.of_finding(
        ENGLISH,
        finding("early_signal", effect=0.5, low=-0.1, high=1.1, sequential_p=0.07,
                reasons=["sequential_p", "more_is_worse"]),
    )  # fmt: skip
    assert "0.5 points higher the next morning (-0.1 to 1.1)" in said
    assert "may well be chance" in said
    assert "stimulate more when they feel worse" in said


@pytest.mark.parametrize(
    ("reasons", "why"),
    [
        (["sequential_p", "tier_test_passed", "more_is_worse"], words.MORE_IS_WORSE),
        (["sequential_p", "tier_test_passed", "halves_disagree"], words.HALVES),
        (["sequential_p", "halves_agree"], words.ONE_OF_MANY),
        (["tier_test_passed", "use_follows_pain"], words.FOLLOWS_PAIN),
        (["within_minimal_difference", "use_follows_rating"], words.FOLLOWS_RATING),
    ],
)
@pytest.mark.parametrize("voice", [ENGLISH, GERMAN])
def test_what_is_clear_and_yet_capped_says_why_and_not_that_it_may_be_chance(
    voice: Voice, reasons: list[str], why: str
) -> None:
    capped = finding("early_signal", effect=0.5, low=0.2, high=0.8, sequential_p=0.002,
                     milestone=320, reasons=reasons)  # fmt: skip
    said = sentences.of_finding(voice, capped)
    assert voice.translate(why) in said
    assert voice.translate(words.EARLY) not in said
    assert said.endswith(voice.translate(ENDING))


def test_only_a_trial_is_named_where_use_follows_pain_and_days_are_not_enough() -> None:
    said = sentences.of_finding(
        ENGLISH, finding("not_enough", reasons=["interval_wide", "use_follows_pain"])
    )
    assert "Your use follows your pain" in said
    assert said.endswith("Only a trial of your own can.")


def test_evening_and_morning_in_one_say_so() -> None:
    pooled = finding("moderate", reasons=["evening_and_morning"])
    said = sentences.of_finding(ENGLISH, pooled)
    assert "pain now was 0.8 points lower (0.2 to 1.4)." in said
    assert "takes that evening and the next morning as one" in said


@pytest.mark.parametrize("grade", ["confirmed", "likely", "worse"])
def test_then_and_now_ends_with_what_a_change_does_not_show(grade: str) -> None:
    found = replace(
        response([7.0, 6.0] * 12, [6.0, 7.0] * 12),
        grade=ResponseGrade(grade), change_ratio=-0.4, low=-0.5, high=-0.3,
    )  # fmt: skip
    for voice in (ENGLISH, GERMAN):
        said = sentences.of_response(voice, OUTCOMES["pain_now"], found, until=DAY)
        assert said.endswith(voice.translate(ENDING))


def test_what_is_missing_is_said_with_a_range() -> None:
    collecting = finding(
        "collecting", milestone=0, pairs_now=9, effect=None, low=None, high=None,
        more_days_low=19, more_days_high=60,
    )  # fmt: skip
    said = sentences.of_finding(ENGLISH, collecting)
    assert said.startswith("You have 9 of 28 full days so far.")
    assert said.endswith("About 19 to 60 more days may be needed.")


def test_no_link_and_a_refusal_are_answers() -> None:
    unclear = finding("no_clear_link", effect=-0.2, low=-0.7, high=0.3)
    said = sentences.of_finding(ENGLISH, unclear)
    assert "there is no clear link" in said
    assert said.endswith("likely less than 1.0 points.")
    refused = finding("not_enough", effect=None, low=None, high=None)
    assert sentences.of_finding(ENGLISH, refused).startswith("Stimulation changed too little")


@pytest.mark.parametrize(("low", "high"), [(-0.9, -0.1), (0.1, 0.9)])
def test_a_clear_link_that_is_too_small_to_matter_is_not_called_none(
    low: float, high: float
) -> None:
    said = sentences.of_finding(ENGLISH, finding("no_clear_link", low=low, high=high))
    assert said.startswith("Stimulation and pain now go together only a little.")
    assert "no clear link" not in said
    assert said.endswith(f"less than 1.0 points. {ENDING}")


def test_a_programmes_share_is_named_by_the_programme() -> None:
    said = sentences.of_finding(ENGLISH, finding("strong", exposure="programme:25hz-250us-30s-30s"))
    assert "more use of 25 pulses a second (250 µs each, 30 s on, 30 s off)," in said
    german = finding("strong", exposure="programme:1.5hz-250us-30s-30s")
    assert "mehr Nutzung mit 1,5 Pulsen pro Sekunde" in sentences.of_finding(GERMAN, german)


def test_side_effects_that_fade_say_from_where_to_where() -> None:
    fading = side_effect_trend([1.0] * 10 + [0.0] * 40)
    said = sentences.of_side_effect(ENGLISH, OUTCOMES["cough"], fading, 50)
    assert said.startswith("Cough was noted less often")
    growing = side_effect_trend([0.0] * 30 + [1.0] * 20)
    assert "talk to a clinician" in sentences.of_side_effect(
        ENGLISH, OUTCOMES["cough"], growing, 50
    )
    few = side_effect_trend([1.0, 0.0])
    assert "2 of 20" in sentences.of_side_effect(ENGLISH, OUTCOMES["cough"], few, 2)


@pytest.mark.parametrize(
    ("voice", "begins"), [(ENGLISH, "The 16 answers so far"), (GERMAN, "Nach bisher 16 Antworten")]
)
def test_enough_answers_that_say_nothing_are_not_called_too_few(voice: Voice, begins: str) -> None:
    unclear = side_effect_trend([0.0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0])
    said = sentences.of_side_effect(voice, OUTCOMES["cough"], unclear, 16)
    assert said.startswith(begins)


def test_a_response_is_told_as_a_share_of_the_first_weeks() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(7, 0.7, 30), rng.normal(3, 0.7, 28)
    pain = OUTCOMES["pain_now"]
    assert "% lower" in sentences.of_response(ENGLISH, pain, response(before, after), until=DAY)
    assert "% higher" in sentences.of_response(
        ENGLISH, pain, response(after[:28], before), until=DAY
    )
    unchanged = response(before, rng.normal(7, 0.7, 28))
    said = sentences.of_response(ENGLISH, pain, unchanged, until=DAY)
    assert "up to June 3, 2026, pain now has not clearly changed" in said
    assert "14 days" in sentences.of_response(ENGLISH, pain, response(before[:5], after), until=DAY)


@pytest.mark.parametrize(("p", "told"), [(0.0312, "0.031"), (0.001, "0.001"), (1 / 4096, "0.0002")])
def test_no_p_is_told_as_0(p: float, told: str) -> None:
    result = {"pairs": 14, "effect": -1.0, "low": -1.6, "high": -0.4, "p": p}
    said = sentences.of_trial(ENGLISH, "pain_now", result, planned_pairs=14, stopped=False)
    assert said.endswith(f"p = {told}).")


def test_a_side_effects_small_numbers_are_not_rounded_to_0() -> None:
    """Yes is 1 and no is 0, so that a difference of a tenth matters."""
    rarer = finding("moderate", outcome="cough", effect=-0.124, low=-0.21, high=-0.038)
    said = sentences.of_finding(ENGLISH, rarer)
    assert "cough was there the next morning on 12 fewer days in 100 (4 to 21)" in said
    more = finding("early_signal", outcome="cough", effect=0.124, low=-0.02, high=0.27, lag=0)
    assert "on 12 more days in 100 (-2 to 27)" in sentences.of_finding(ENGLISH, more)
    assert "an 12 von 100 Tagen öfter" in sentences.of_finding(GERMAN, more)
    no_link = finding("no_clear_link", outcome="cough")
    assert "less than 10 days in 100" in sentences.of_finding(ENGLISH, no_link)
    assert "0.8 points lower the next morning (0.2 to 1.4)" in sentences.of_finding(
        ENGLISH, finding("moderate")
    )


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
