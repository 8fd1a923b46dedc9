"""The words of the report are plain, in both languages (of causes: `tests/test_plain_words.py`)."""

import re

import pytest

from cymba.reports import words
from cymba.voice import LANGUAGES, Voice
from tests.insights.readability import reading_grade, words_of
from tests.insights.test_reading_grade import LEAST_WORDS, MOST


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_reads_at_grade_8_or_less(language: str) -> None:
    voice = Voice.of(language)
    read = [re.sub(r"{\w+}", "25", voice.translate(text)) for text in words.TEXTS]
    grades = {text: round(reading_grade(text, language), 1) for text in read}
    long = {text: grade for text, grade in grades.items() if len(words_of(text)) >= LEAST_WORDS}
    assert len(long) > 20
    assert {text: grade for text, grade in long.items() if grade > MOST} == {}
