"""Which text a person read: its edition, and the language it was read in, as `1/de`."""

import re
from typing import NamedTuple, Self

_WRITTEN = re.compile(r"([1-9][0-9]{0,8})/([a-z]{2,3})")


class TextVersion(NamedTuple):
    edition: int  # +1 with every change of the text, in whichever language
    language: str

    def __str__(self) -> str:
        return f"{self.edition}/{self.language}"

    @classmethod
    def parse(cls, written: str) -> Self | None:
        found = _WRITTEN.fullmatch(written)
        return found and cls(int(found[1]), found[2])
