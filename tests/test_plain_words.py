"""What a person acts on is as plain as what insights say, and claims as little."""

import pytest

from cymba.accounts.consent import PURPOSES
from cymba.rights.readable import READ_ME
from cymba.voice import LANGUAGES, Voice
from tests.insights.readability import reading_grade, words_of
from tests.insights.test_reading_grade import LEAST_WORDS, MOST
from tests.insights.test_words import forbidden_in
from tests.test_texts import every_text
from tests.texts import OF_TABLES

ACTED_ON = sorted({
    text for name in ("consents", "questions", "locks", "diary") for text in OF_TABLES[name]
})  # fmt: skip
# They have no plainer name, or are as published.
NAMES = {
    "Do you have a pacemaker, a defibrillator (ICD) or any other active implant?",
    "Over the last 2 weeks, how often have you been bothered by the following problems?",
}
# Of what the person did, what may be shipped, and that nothing is claimed.
ALLOWED = {
    "Other treatment": {"treatment", "Behandlung"},
    PURPOSES["insights"].text: {"cause"},
    READ_ME: {"cause"},
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_acted_on_reads_at_grade_8_or_less(language: str) -> None:
    voice = Voice.of(language)
    read = [voice.translate(text) for text in ACTED_ON if text not in NAMES]
    sentences = [text for text in read if len(words_of(text)) >= LEAST_WORDS]
    assert len(sentences) > 20
    hard = {text: round(reading_grade(text, language), 1) for text in sentences}
    assert not {text: grade for text, grade in hard.items() if grade > MOST}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_says_that_stimulation_does_something(language: str) -> None:
    voice = Voice.of(language)
    found = {
        text: words - ALLOWED.get(text, set())
        for text in every_text()
        if (words := set(forbidden_in(voice.translate(text), language)))
    }
    assert not {text: words for text, words in found.items() if words}
