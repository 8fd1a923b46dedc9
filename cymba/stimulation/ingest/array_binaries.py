"""Columns of a batch as PostgreSQL's binary arrays.

As text, each item would be written in Python, and read again by the database.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")  # dimensions, has nulls, type of an item, items, first subscript
_SIZE = struct.Struct(">i")
_NULL = _SIZE.pack(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FEW = 16
_MICROSECOND = timedelta(microseconds=1)
# PostgreSQL's numbers of the types of items.
_SMALL_INTEGER, _INTEGER, _BIG_INTEGER = 21, 23, 20
_TEXT, _BYTES, _UUID, _TIME = 25, 17, 2950, 1184


class BinaryArray(bytes):
    """One-dimensional; psycopg sends it as it is. The statement casts it to an array's type, and
    PostgreSQL refuses items of another."""


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj


psycopg.adapters.register_dumper(BinaryArray, _AsItIs)


def small_integers(values: Sequence[int]) -> BinaryArray:
    return _array(_SMALL_INTEGER, len(values), _numbers(values, 2))


def integers(values: Sequence[int]) -> BinaryArray:
    return _array(_INTEGER, len(values), _numbers(values, 4))


def big_integers(values: Sequence[int]) -> BinaryArray:
    return _array(_BIG_INTEGER, len(values), _numbers(values, 8))


def big_integers_or_null(values: Sequence[int | None]) -> BinaryArray:
    items = [
        _NULL if value is None else b"\0\0\0\x08" + value.to_bytes(8, signed=True)
        for value in values
    ]
    return _array(_BIG_INTEGER, len(values), b"".join(items), has_nulls=True)


def texts(values: Iterable[str]) -> BinaryArray:
    return _strings(_TEXT, [value.encode() for value in values])


def byte_strings(values: Sequence[bytes]) -> BinaryArray:
    return _strings(_BYTES, values)


def uuids(values: Sequence[UUID]) -> BinaryArray:
    return _strings(_UUID, [value.bytes for value in values])


def times(values: Sequence[datetime]) -> BinaryArray:
    """The same time may stand there many times over: it is written once."""
    known = {at: (at - _EPOCH) // _MICROSECOND for at in set(values)}
    return _array(_TIME, len(values), _numbers([known[at] for at in values], 8))


def _array(item_type: int, count: int, items: bytes, *, has_nulls: bool = False) -> BinaryArray:
    """`items` is each item after its size in bytes."""
    return BinaryArray(_HEADER.pack(1, has_nulls, item_type, count, 1) + items)


def _numbers(values: Sequence[int], width: int) -> bytes:
    """
    Raises: OverflowError: one does not fit.
    """
    if len(values) <= _FEW:  # NumPy's own overhead is as much as these take
        size = _SIZE.pack(width)
        return b"".join([size + value.to_bytes(width, signed=True) for value in values])
    items = np.empty(len(values), dtype=[("size", ">i4"), ("value", f">i{width}")])
    items["size"] = width
    items["value"] = np.array(values, dtype=f">i{width}")
    return items.tobytes()


def _strings(item_type: int, values: Sequence[bytes]) -> BinaryArray:
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[::2] = [_SIZE.pack(size) for size in map(len, values)]
    parts[1::2] = values
    return _array(item_type, len(values), b"".join(parts))
