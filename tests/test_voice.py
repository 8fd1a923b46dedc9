"""Tags of languages, whatever their form, and texts with values in them."""

from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cymba.text_version import TextVersion
from cymba.voice import LANGUAGES, Voice, is_tag, said, spoken_of


@pytest.mark.parametrize(
    ("tag", "language", "number"),
    [
        ("en-US-u-hc-h12", "en", "1,234.5"),
        ("de-DE-u-co-phonebk", "de", "1.234,5"),
        ("de-Latn-CH-1901-x-cymba", "de", "1’234.5"),
        ("DE-de", "de", "1.234,5"),
        ("de-XX", "de", "1.234,5"),
        ("ar-EG-u-nu-arab", "en", "1,234.5"),
        ("fr-FR", "en", "1\u202f234,5"),
        ("xx", "en", "1,234.5"),
        ("i-klingon", "en", "1,234.5"),
    ],
)
def test_a_tag_is_read_as_far_as_it_is_known(tag: str, language: str, number: str) -> None:
    voice = Voice.of(tag)
    assert (voice.language, voice.number(1234.5)) == (language, number)


@given(st.text(max_size=120))
@example("../../etc/passwd")
@example("de-" * 60)
@example("de-\0")
@example("u-")
def test_no_tag_breaks_a_voice(tag: str) -> None:
    assert Voice.of(tag).language in LANGUAGES
    assert spoken_of([tag]) in {tag, None}
    if not is_tag(tag):
        assert Voice.of(tag) == Voice.of("en")


def test_values_are_written_as_in_the_language() -> None:
    text = said("must be at most {most}, half of the {usual} of full blocks", most=1500, usual=2.5)
    assert text == "must be at most 1,500, half of the 2.5 of full blocks"
    german = Voice.of("de").translate(text)
    assert "1.500" in german
    assert "2,5" in german
    day = said(
        "The days must lie from {earliest} to {latest}.", earliest=date(2026, 3, 4), latest=""
    )
    assert "4. März 2026" in Voice.of("de").translate(day)
    title = {"en": "Ear", "de": "Ohr"}
    assert (
        Voice.of("de")
        .translate(said("{title} has no current that a trial could hold down", title=title))
        .startswith("Ohr hat keinen")
    )


def test_a_value_fills_no_place_of_its_own() -> None:
    """What a person or a device sent stays as it is, also where it looks like a template."""
    for voice in (Voice.of("en"), Voice.of("de")):
        text = voice.translate(said("{option} is there twice", option="{option.__class__} {0}"))
        assert text.startswith("{option.__class__} {0} ")


@pytest.mark.parametrize("written", ["1/en", "12/de"])
def test_a_version_is_written_as_it_is_read(written: str) -> None:
    assert str(TextVersion.parse(written)) == written


@pytest.mark.parametrize(
    "written", ["", "1", "0/en", "01/en", "1/EN", "1/de\n", "1/de/de", "\u0661/en"]
)
def test_what_is_no_version_is_none(written: str) -> None:
    assert TextVersion.parse(written) is None
