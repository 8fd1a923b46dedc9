"""The parts that a printed report is made of, as the template `report.typ` sets them.

Every text is plain: the template never reads it as markup.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date

from cymba.reports import words
from cymba.voice import Voice

Block = dict[str, Any]
Shown = Mapping[str, Any]

LONGEST_WORD = 12
"""A longer one may be broken, so that it stays in its column."""

MOST_CHARACTERS = 200
"""Of one text of the person's; the rest is in the app."""

_LONG_WORD = re.compile(rf"\S{{{LONGEST_WORD}}}(?=\S)")
# They change how what follows is read, or are no characters at all.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff]"
)


def heading(title: str, *, level: int = 1) -> Block:
    return {"kind": "heading", "text": title, "level": level}


def text(said: str, *, look: str = "plain") -> Block:
    """`look`: `plain`, `quiet` or `strong`."""
    return {"kind": "text", "text": said, "look": look}


def items(said: Sequence[str]) -> Block:
    return {"kind": "items", "items": list(said)}


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, wide: Sequence[int] = ()) -> Block:
    """`wide`: shares of the width, by column; the first column alone is of words."""
    return {"kind": "table", "head": list(head), "rows": [list(row) for row in rows],
            "wide": list(wide) or [1] * len(head)}  # fmt: skip


def without_nan(value: Any) -> Any:
    """As JSON has it: what is no number is null."""
    match value:
        case dict():
            return {name: without_nan(held) for name, held in value.items()}
        case list():
            return [without_nan(held) for held in value]
        case float() if math.isnan(value):
            return None
        case _:
            return value


def of_person(given: str) -> str:
    """A text that a person or a device brought, as it may be printed."""
    plain = _UNSEEN.sub(" ", given)
    if len(plain) > MOST_CHARACTERS:
        plain = f"{plain[:MOST_CHARACTERS]}…"
    return _LONG_WORD.sub("\\g<0>\u200b", plain)


@dataclass(frozen=True, slots=True)
class Teller:
    """Writes values in the reader's language, and says what is missing."""

    voice: Voice
    zone: ZoneInfo

    def say(self, template: str, **values: str) -> str:
        return self.voice.say(template, **values)

    def number(self, value: float | None, digits: int = 0) -> str:
        return "–" if value is None else self.voice.number(value, digits)

    def day(self, day: date | datetime | None) -> str:
        if day is None:
            return "–"
        if isinstance(day, datetime):
            day = day.astimezone(self.zone).date()
        return str(format_date(day, "medium", locale=self.voice.locale))

    def spread(self, ends: Sequence[float | None], digits: int) -> str:
        """A mean with the lowest and the highest that it is of, where these differ."""
        mean, low, high = (self.number(one, digits) for one in ends)
        return mean if low == high else self.say(words.RANGE, mean=mean, low=low, high=high)

    def more(self, n: int) -> list[Block]:
        return [text(self.say(words.AND_MORE, n=self.number(n)), look="quiet")] if n else []
