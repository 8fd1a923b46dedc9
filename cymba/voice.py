"""The person's language: what is said in it, and how numbers and dates are written."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

LANGUAGES = ("en", "de")


@cache
def _translations(language: str) -> dict[str, str]:
    """English texts in the language, from every feature's catalogue."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob(f"*/locale/{language}/*.po")):
        with path.open("rb") as file:
            found |= {str(one.id): str(one.string) for one in read_po(file, locale=language)}
    return {text: translated for text, translated in found.items() if translated}


@dataclass(frozen=True, slots=True)
class Voice:
    """Speaks the person's language, and writes numbers as they are written there."""

    locale: Locale

    @classmethod
    def of(cls, tag: str) -> "Voice":
        """For a BCP 47 tag; English words where the language has no catalogue."""
        try:
            return cls(Locale.parse(tag, sep="-"))
        except (UnknownLocaleError, ValueError):
            return cls(Locale("en"))

    @property
    def language(self) -> str:
        return self.locale.language if self.locale.language in LANGUAGES else "en"

    def say(self, template: str, **values: str) -> str:
        return self.translate(template).format(**values)

    def translate(self, text: str) -> str:
        return _translations(self.language).get(text, text)

    def number(self, value: float, digits: int = 1) -> str:
        pattern = "#,##0." + "0" * digits if digits else "#,##0"
        # Rounded here, and never to "-0.0".
        return format_decimal(round(value, digits) + 0.0, format=pattern, locale=self.locale)

    def percent(self, value: float) -> str:
        return format_percent(value, format="#,##0 %", locale=self.locale)

    def day(self, day: date) -> str:
        return format_date(day, format="long", locale=self.locale)
