"""Every text of the insights reads at school grade 8 or less, in both languages.

Whoever is in pain, tired or afraid reads worse than they could. A text is measured as it is read,
with numbers and names in its places; those of fewer than eight words are names, and of a name no
grade can be told: there the longest word counts.
"""

import ast
from pathlib import Path
from string import Formatter

import pytest

import cymba.insights
from cymba.insights import sentences
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import PRIMARY_OUTCOMES
from cymba.insights.pictures.captions import CAPTIONS
from cymba.insights.words import (
    NO_CLEAR_LINK_DAYS,
    OBSERVED_DAYS,
    SMALL_LINK_DAYS,
    TEMPLATES,
)
from cymba.voice import LANGUAGES, Voice
from tests.insights.readability import reading_grade, syllables, words_of

MOST = 8.0
LEAST_WORDS = 8
MOST_SYLLABLES = {"en": 4, "de": 5}
# The programme is named after its numbers; `sentence` is measured as itself.
NUMBERS = {
    "low": "0.2", "high": "1.4", "size": "0.8", "n": "62", "first": "28", "mid": "1.0",
    "low_days": "19", "high_days": "60", "pairs": "14", "planned": "21", "p": "0.012",
    "down": "0.5", "up": "0.3", "departed": "3", "delivered": "30", "blocks": "42", "least": "34",
    "now": "0.5", "before": "1.5", "share": "34 %", "until": "3 June", "first_share": "81 %",
    "last_share": "6 %", "sentence": "",
}  # fmt: skip
SAID = [text for text in (*TEMPLATES, *CAPTIONS) if len(words_of(text)) >= LEAST_WORDS]
OF_SIDE_EFFECTS = {*OBSERVED_DAYS.values(), NO_CLEAR_LINK_DAYS, SMALL_LINK_DAYS}
NAMED = [
    *(text for text in (*TEMPLATES, *CAPTIONS) if len(words_of(text)) < LEAST_WORDS),
    *(exposure.title for exposure in EXPOSURES),
]


def outcomes_of(template: str) -> tuple[str, ...]:
    """What it may speak of: a side effect, or else each primary outcome."""
    return ("headache",) if template in OF_SIDE_EFFECTS else PRIMARY_OUTCOMES


def filled(voice: Voice, template: str, outcome: str) -> str:
    """A template as it is read, of the primary exposure and an outcome."""
    exposure = sentences.exposure_title(voice, "charge")
    title = sentences.outcome_title(voice, outcome)
    values = NUMBERS | {
        "exposure": sentences.inside(voice, exposure),
        "exposure_title": exposure,
        "outcome": sentences.inside(voice, title),
        "effect": sentences.inside(voice, sentences.outcome_title(voice, "headache")),
        "effect_title": sentences.outcome_title(voice, "headache"),
        "direction": voice.translate("lower"),
    }
    text = voice.translate(template)
    places = {name for _, name, _, _ in Formatter().parse(text) if name}
    return text.format(**{place: values.get(place, "25") for place in places})


def too_hard(texts: list[str], language: str) -> dict[str, float]:
    grades = {text: round(reading_grade(text, language), 1) for text in texts}
    return {text: grade for text, grade in grades.items() if grade > MOST}


def problem_texts() -> list[str]:
    """What a person is told where insights refuse: the first text of each such error."""
    raised = {"Rejected", "Conflict", "NotFound", "Forbidden"}
    found = []
    for path in Path(cymba.insights.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                is_raised = node.func.id in raised
                found += [text for text in texts if is_raised and isinstance(text, str)]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_reads_at_grade_8_or_less(language: str) -> None:
    voice = Voice.of(language)
    read = [filled(voice, text, outcome) for text in SAID for outcome in outcomes_of(text)]
    hard = {
        text: round(grade, 1) for text in read if (grade := reading_grade(text, language)) > MOST
    }
    assert not hard


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_and_captions_are_of_short_words(language: str) -> None:
    voice = Voice.of(language)
    words = [word for text in NAMED for word in words_of(voice.translate(text))]
    assert not {word for word in words if syllables(word, language) > MOST_SYLLABLES[language]}


def test_what_is_refused_is_said_as_plainly() -> None:
    texts = problem_texts()
    assert "There is no such trial." in texts
    assert not too_hard(texts, "en")


PLAIN = {
    "en": "The cat sat on the mat. It was warm. It slept there all day long.",
    "de": "Die Katze liegt auf dem Sofa. Sie schläft dort den ganzen Tag.",
}
HARD = {
    "en": "Estimated effects accounted for autocorrelation, seasonality and missing data.",
    "de": "Unter Berücksichtigung der Autokorrelation zeigte die Stimulationsintensität einen "
    "statistisch bedeutsamen Zusammenhang.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_measures_tell_plain_from_hard(language: str) -> None:
    assert reading_grade(PLAIN[language], language) < 4
    assert reading_grade(HARD[language], language) > 12


def test_the_measures_are_the_published_ones() -> None:
    """Counted by hand: 15 words of one syllable in 3 sentences; 12 words in 2, of which 9 have one
    syllable, none has three, and one has more than six letters."""
    assert reading_grade(PLAIN["en"], "en") == pytest.approx(0.39 * 5 + 11.8 - 15.59)
    assert reading_grade(PLAIN["de"], "de") == pytest.approx(
        0.1672 * 6 + 0.1297 * 100 / 12 - 0.0327 * 900 / 12 - 0.875
    )


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ({"rating": 2, "account": 2, "stimulate": 3, "stimulation": 4, "device": 2, "taken": 2,
          "tells": 1, "needed": 2, "asked": 1, "people": 2, "average": 3, "weekday": 2, "table": 2,
          "changed": 1, "more": 1, "sessions": 2, "certain": 2, "recent": 2,
          "programme": 2, "quality": 3, "current": 2}, "en"),
        ({"Sitzung": 2, "Stimulation": 5, "seltener": 3, "zeigt": 1, "neue": 2, "Schmerz": 1,
          "Erschöpfung": 3, "Unterschied": 3, "beiden": 2, "früh": 1}, "de"),
    ],
)  # fmt: skip
def test_syllables_are_counted_as_they_are_spoken(words: dict[str, int], language: str) -> None:
    assert {word: syllables(word, language) for word in words} == words
