"""marshmallow's words about a field, as texts of the catalogues.

It fills its own templates. So a message is read back: which template it is of, and what is in it.
"""

import re
from typing import Final

from cymba.voice import FilledText, said

TEMPLATES: Final = (
    "Missing data for required field.",
    "Unknown field.",
    "Field may not be null.",
    "Invalid input type.",
    "Invalid value.",
    "Not a valid string.",
    "Not a valid integer.",
    "Not a valid number.",
    "Not a valid boolean.",
    "Not a valid UUID.",
    "Not a valid date.",
    "Not a valid datetime.",
    "Not a valid aware datetime.",
    "Not a valid list.",
    "Not a valid mapping type.",
    "Number too large.",
    "Special numeric values (nan or infinity) are not permitted.",
    "String does not match expected pattern.",
    "Must be one of: {choices}.",
    "Shorter than minimum length {min}.",
    "Longer than maximum length {max}.",
    "Length must be between {min} and {max}.",
    "Length must be {equal}.",
    "Must be greater than or equal to {min}.",
    "Must be less than or equal to {max}.",
    "Must be greater than {min}.",
    "Must be less than {max}.",
    "Must be greater than or equal to {min} and less than or equal to {max}.",
)
# The longest first: "greater than {min}" would take "greater than or equal to 1" for its own.
_READ: Final = [
    (template, re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+)", re.escape(template)), re.DOTALL))
    for template in sorted(TEMPLATES, key=len, reverse=True)
    if "{" in template
]


def as_text(message: str) -> str:
    """The message, so that it can be said in another language."""
    for template, pattern in _READ:
        if not isinstance(message, FilledText) and (found := pattern.fullmatch(message)):
            return said(template, **found.groupdict())
    return message
