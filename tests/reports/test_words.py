"""The words of the report are plain, in both languages, and none makes a link into a cause."""

import re

import pytest

from cymba.insights.words import FORBIDDEN
from cymba.reports import words
from cymba.voice import LANGUAGES, Voice
from tests.insights.readability import reading_grade, words_of

MOST = 8.0
LEAST_WORDS = 8


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_reads_at_grade_8_or_less(language: str) -> None:
    voice = Voice.of(language)
    read = [re.sub(r"{\w+}", "25", voice.translate(text)) for text in words.TEXTS]
    grades = {text: round(reading_grade(text, language), 1) for text in read}
    long = {text: grade for text, grade in grades.items() if len(words_of(text)) >= LEAST_WORDS}
    assert len(long) > 20
    assert {text: grade for text, grade in long.items() if grade > MOST} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_none_makes_a_link_into_a_cause(language: str) -> None:
    voice = Voice.of(language)
    said = [voice.translate(text) for text in words.TEXTS if text != words.OTHER_TREATMENT]
    pattern = "|".join(rf"\b{re.escape(word)}\b" for word in FORBIDDEN[language])
    assert [text for text in said if re.search(pattern, text, re.IGNORECASE)] == []
