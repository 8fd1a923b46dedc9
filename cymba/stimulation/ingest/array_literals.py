"""Columns of a batch as PostgreSQL writes arrays.

psycopg writes a list item by item in Python, looking for what to escape: for a batch of a thousand
frames that is most of the time that ingest takes. Here nothing needs to be escaped.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID


def integers(values: Iterable[int | None]) -> str:
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def words(values: Iterable[str]) -> str:
    """Of strings of letters, digits, `_` and `-`, such as the ids of devices.

    Raises:
        ValueError: there is another character in one.
    """
    listed = list(values)
    if not _PLAIN("".join(listed)):
        raise ValueError("a word has a character that would have to be escaped")
    return '{"' + '","'.join(listed) + '"}' if listed else "{}"


def uuids(values: Iterable[UUID]) -> str:
    return "{" + ",".join([value.hex for value in values]) + "}"


def byte_strings(values: Iterable[bytes]) -> str:
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"


def times(values: Iterable[datetime]) -> str:
    return "{" + ",".join([f'"{value.isoformat()}"' for value in values]) + "}"


def multiranges(values: Iterable[object]) -> str:
    """Of `SeqRanges`, or of what their `str` was."""
    return "{" + ",".join([f'"{value}"' for value in values]) + "}"


_PLAIN = re.compile(r"[A-Za-z0-9_-]*").fullmatch
