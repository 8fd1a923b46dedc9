"""Columns of keys as array literals of PostgreSQL, of values that need no escaping.

psycopg writes a list item by item in Python and escapes each. The columns of frames are in
`array_binaries`.
"""

import re
from collections.abc import Iterable
from uuid import UUID


def integers(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def words(values: Iterable[str]) -> str:
    """An array of strings of letters, digits, `_` and `-`, such as device ids.

    Raises: ValueError: one has another character, which would need escaping.
    """
    listed = list(values)
    if not _PLAIN("".join(listed)):
        raise ValueError("a string has a character that would need escaping")
    return '{"' + '","'.join(listed) + '"}' if listed else "{}"


def uuids(values: Iterable[UUID]) -> str:
    return "{" + ",".join([value.hex for value in values]) + "}"


def multiranges(values: Iterable[object]) -> str:
    """An array of int8multiranges: `SeqRanges`, or strings made from them."""
    return "{" + ",".join([f'"{value}"' for value in values]) + "}"


_PLAIN = re.compile(r"[A-Za-z0-9_-]*").fullmatch
