"""Every template in every language is read for words that would make a link into a cause."""

import re

import pytest

from cymba.insights import words
from cymba.insights.exposures import EXPOSURES
from cymba.insights.outcomes import OUTCOMES
from cymba.insights.pictures.captions import CAPTIONS
from cymba.insights.words import DISCLAIMER, FORBIDDEN, TEMPLATES
from cymba.voice import LANGUAGES, Voice

TITLES = [e.title for e in EXPOSURES] + [o.title for o in OUTCOMES.values()]
EVERY = [(language, text) for language in LANGUAGES for text in (*TEMPLATES, *CAPTIONS, *TITLES)]


def forbidden_in(text: str, language: str) -> list[str]:
    text = text.replace(Voice.of(language).translate(DISCLAIMER), "")
    return [
        word
        for word in FORBIDDEN[language]
        if re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)
    ]


@pytest.mark.parametrize(("language", "text"), EVERY)
def test_no_template_words_a_link_as_a_cause(language: str, text: str) -> None:
    assert not forbidden_in(Voice.of(language).translate(text), language)


def test_the_reader_does_find_forbidden_words() -> None:
    assert forbidden_in("Stimulation reduced pain because it works.", "en")
    assert forbidden_in("Die Stimulation lindert, weil sie wirkt.", "de")


def test_an_unknown_language_is_spoken_to_in_english_with_its_own_numbers() -> None:
    voice = Voice.of("fr-FR")
    assert voice.translate(words.LOWER) == "lower"
    assert voice.number(0.84) == "0,8"
    assert Voice.of("not a tag").language == "en"


def test_numbers_are_written_as_in_the_persons_language() -> None:
    assert Voice.of("de").number(1234.56) == "1.234,6"
    assert Voice.of("en").number(1234.56) == "1,234.6"
    assert Voice.of("de").percent(0.3) == "30 %"
