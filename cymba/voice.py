"""The person's language: what is said in it, and how numbers and dates are written."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

LANGUAGES = ("en", "de")
TAG_PATTERN: Final = r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"  # BCP 47, with its extensions
MAX_TAG_CHARACTERS: Final = 100

_TAG = re.compile(TAG_PATTERN)
_catalogues = [Path(__file__).parent]  # folders of features, each with its `locale/*/*.po`

Titles = Mapping[str, str]
"""A text by language, `en` at least, of what brings its own."""
Value = str | int | float | date | Titles


class FilledText(str):
    """A text with values in it, in English; a `Voice` says it in its own language."""

    __slots__ = ("template", "values")
    template: str
    values: dict[str, Value]


def said(template: str, **values: Value) -> FilledText:
    """A text for people, marked for the catalogues.

    A value that is a text of the catalogues is translated with it; numbers and days are written as
    in the language.
    """
    made = FilledText(_filled(Voice(Locale("en")), template, values))
    made.template, made.values = template, values
    return made


def add_catalogues(folder: Path) -> None:
    """Let voices speak the catalogues of the features in a folder outside of the core."""
    _catalogues.append(folder)
    _translations.cache_clear()


@cache
def _translations(language: str) -> dict[str, str]:
    """English texts in the language, from every feature's catalogue."""
    found: dict[str, str] = {}
    for folder in _catalogues:
        for path in sorted(folder.glob(f"*/locale/{language}/*.po")):
            with path.open("rb") as file:
                found |= {str(one.id): str(one.string) for one in read_po(file, locale=language)}
    return {text: translated for text, translated in found.items() if text and translated}


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks the person's language, and writes numbers as they are written there."""

    locale: Locale

    @classmethod
    def of(cls, tag: str) -> "Voice":
        """For a BCP 47 tag; English words where the language has no catalogue.

        Digits are Latin whatever the tag asks for: Babel writes no others.
        """
        return cls(_locale(tag) or Locale("en"))

    @property
    def language(self) -> str:
        return self.locale.language if self.locale.language in LANGUAGES else "en"

    def say(self, template: str, **values: str) -> str:
        return self.translate(template).format(**values)

    def translate(self, text: str) -> str:
        if isinstance(text, FilledText):
            return _filled(self, text.template, text.values)
        return _translations(self.language).get(text, text)

    def title(self, titles: Titles) -> str:
        return titles.get(self.language) or titles["en"]

    def number(self, value: float, digits: int = 1) -> str:
        pattern = "#,##0." + "0" * digits if digits else "#,##0"
        # Rounded here, and never to "-0.0".
        return format_decimal(round(value, digits) + 0.0, format=pattern, locale=self.locale)

    def percent(self, value: float) -> str:
        return format_percent(value, format="#,##0 %", locale=self.locale)

    def day(self, day: date) -> str:
        return format_date(day, format="long", locale=self.locale)

    def written(self, value: Value) -> str:
        """A value as it stands in a text."""
        match value:
            case str():
                return self.translate(value)
            case date():
                return self.day(value)
            case Mapping():
                return self.title(value)
            case _:
                return format_decimal(value, format="#,##0.######", locale=self.locale)


def is_tag(tag: str) -> bool:
    """Whether it has the form of a language tag."""
    return len(tag) <= MAX_TAG_CHARACTERS and _TAG.fullmatch(tag) is not None


def spoken_of(tags: Iterable[str]) -> str | None:
    """The first of these tags, the dearest first, whose language has a catalogue."""
    for tag in tags:
        locale = _locale(tag)
        if locale is not None and locale.language in LANGUAGES:
            return tag
    return None


def _filled(voice: Voice, template: str, values: dict[str, Value]) -> str:
    written = {name: voice.written(value) for name, value in values.items()}
    return voice.translate(template).format(**written)


@lru_cache(maxsize=1024)
def _locale(tag: str) -> Locale | None:
    """What Babel knows of a tag: the longest part of it, as RFC 4647 looks up."""
    if not is_tag(tag):
        return None
    parts = re.split(r"-[A-Za-z0-9](?=-|$)", tag)[0].split("-")  # without extensions
    while parts:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError):
            parts.pop()
    return None
