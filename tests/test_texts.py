"""Every text that a person may read is in the catalogues, in every language; nothing else is."""

from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po

import service.http.problems  # noqa: F401 # it adds the API's catalogues
from cymba.devices.models import MODELS, Model
from cymba.voice import LANGUAGES, Voice
from tests.texts import OF_TABLES, ROOT, CodeText, of_code

# Who reads these is no person in an app: an operator at the command line, a device, a broker.
OF_MACHINES = (
    "cymba/accounts/app_clients.py",
    "cymba/devices/catalogue.py",
    "cymba/devices/cells.py",
    "cymba/devices/moving.py",
    "cymba/devices/provisioning.py",
    "cymba/heartbeat.py",
    "cymba/operations/",
    "cymba/rights/erasure_ledger.py",
    "cymba/rights/restore.py",
    "cymba/stimulation/ingest/",
    "cymba/stimulation/wire/",
    "service/http/device_login.py",
    "service/resources/broker.py",
    "service/resources/companion.py",
    "service/resources/desired.py",
    "service/resources/docs.py",
    "service/resources/frames.py",
    "service/resources/health.py",
    "service/resources/operator.py",
)
# CodeText alike in both languages.
SAME = {
    "Arm", "Hand", "Stimulation", "Stress", "Vitamin B12", "{detail}, in {unit}",
}  # fmt: skip
TRANSLATIONS = [one for one in LANGUAGES if one != "en"]


def for_people() -> list[CodeText]:
    return [one for one in of_code() if not one.where.startswith(OF_MACHINES)]


def every_text() -> set[str]:
    tables = {text for texts in OF_TABLES.values() for text in texts}
    return tables | {one.text for one in for_people() if one.text}


def catalogues(language: str) -> dict[Path, dict[str, str]]:
    found = {}
    for folder in ("cymba", "service"):
        for path in sorted((ROOT / folder).rglob(f"locale/{language}/*.po")):
            with path.open("rb") as file:
                read = read_po(file, locale=language)
            found[path] = {str(one.id): str(one.string) for one in read if one.id}
            assert not any(one.fuzzy for one in read if one.id), path
            assert not read.obsolete, path
    return found


def places(template: str) -> list[str]:
    try:
        return sorted({name for _, name, _, _ in Formatter().parse(template) if name})
    except ValueError:
        return []  # it shows braces, and is never filled


def test_no_text_is_put_together_where_no_catalogue_could_hold_it() -> None:
    """`said` keeps the template and its values; an f-string does not."""
    assert [one for one in for_people() if one.text is None] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_the_catalogues_hold_every_text_and_no_other(language: str) -> None:
    keys = {text for texts in catalogues(language).values() for text in texts}
    assert {"missing": every_text() - keys, "dead": keys - every_text()} == {
        "missing": set(),
        "dead": set(),
    }


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_each_text_stands_in_one_catalogue(language: str) -> None:
    keys = [text for texts in catalogues(language).values() for text in texts]
    assert sorted(keys) == sorted(set(keys))


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_is_translated_with_the_same_places(language: str) -> None:
    voice = Voice.of(language)
    said = {text: voice.translate(text) for text in every_text()}
    assert {text for text, translated in said.items() if translated == text} == SAME
    assert not {text for text, translated in said.items() if places(text) != places(translated)}


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_voice_finds_every_catalogue(language: str) -> None:
    """Also those of the API, and the features below another folder."""
    voice = Voice.of(language)
    for texts in catalogues(language).values():
        assert {text: voice.translate(text) for text in texts} == texts


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_shipped_model_has_a_title_in_every_language(model: Model) -> None:
    assert set(LANGUAGES) <= set(model.titles)


def test_the_reader_of_the_code_finds_what_it_must() -> None:
    found = {one.text for one in for_people()}
    assert {
        "There is no such trial.",  # an error's
        "must be a UUID",  # returned by a check
        "must be a list",  # yielded by a check
        "This needs your consent: {purpose}.",  # with a value
        "the pulses overlap",  # of a programme
        "Too much was read by this share of late. Wait.",  # of a quota
    } <= found
