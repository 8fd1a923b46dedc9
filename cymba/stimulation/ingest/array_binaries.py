"""Columns of a batch as PostgreSQL's binary arrays.

As text, each item would be written in Python, and read again by the database.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import mul
from uuid import UUID

import numpy as np
import psycopg
from numpy.typing import NDArray
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


def big_integers(values: Sequence[int]) -> BinaryArray:
    return _array(_BIG_INTEGER, len(values), _numbers(values, 8))


def big_integers_or_null(values: Sequence[int | None]) -> BinaryArray:
    if values.count(None) == len(values):
        return _array(_BIG_INTEGER, len(values), _NULL * len(values), has_nulls=True)
    items = [
        _NULL if value is None else b"\0\0\0\x08" + value.to_bytes(8, signed=True)
        for value in values
    ]
    return _array(_BIG_INTEGER, len(values), b"".join(items), has_nulls=True)


def byte_strings(values: Sequence[bytes]) -> BinaryArray:
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[::2] = [_SIZE.pack(size) for size in map(len, values)]
    parts[1::2] = values
    return _array(_BYTES, len(values), b"".join(parts))


def byte_strings_of_one_size(values: Sequence[bytes], size: int) -> BinaryArray:
    written_size = _SIZE.pack(size)
    items = written_size + written_size.join(values) if values else b""
    if len(items) != len(values) * (_SIZE.size + size):
        raise ValueError(f"not each of the strings has {size} bytes")
    return _array(_BYTES, len(values), items)


def times(values: Sequence[datetime]) -> BinaryArray:
    """The same time may stand there many times over: it is written once."""
    known = {at: (at - _EPOCH) // _MICROSECOND for at in set(values)}
    return _array(_TIME, len(values), _numbers([known[at] for at in values], 8))


# Of runs of equal items: each value stands there as often as `counts` says.


def runs_of_integers(values: Sequence[int], counts: Sequence[int]) -> BinaryArray:
    return _runs_of_numbers(_INTEGER, 4, values, counts)


def runs_of_big_integers(values: Sequence[int], counts: Sequence[int]) -> BinaryArray:
    return _runs_of_numbers(_BIG_INTEGER, 8, values, counts)


def runs_of_texts(values: Iterable[str], counts: Sequence[int]) -> BinaryArray:
    return _runs(_TEXT, [value.encode() for value in values], counts)


def runs_of_uuids(values: Iterable[UUID], counts: Sequence[int]) -> BinaryArray:
    return _runs(_UUID, [value.bytes for value in values], counts)


def _runs(item_type: int, items: Sequence[bytes], counts: Sequence[int]) -> BinaryArray:
    sized = [_SIZE.pack(len(item)) + item for item in items]
    return _array(item_type, sum(counts), b"".join(map(mul, sized, counts)))


def _runs_of_numbers(
    item_type: int, width: int, values: Sequence[int], counts: Sequence[int]
) -> BinaryArray:
    if len(values) <= _FEW:
        return _runs(item_type, [value.to_bytes(width, signed=True) for value in values], counts)
    items = _items(values, width).repeat(counts)
    return _array(item_type, len(items), items.tobytes())


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
    return _items(values, width).tobytes()


def _items(values: Sequence[int], width: int) -> NDArray[np.void]:
    """Each after its size, as `_array` takes them.

    Raises: OverflowError: one does not fit.
    """
    items = np.empty(len(values), dtype=[("size", ">i4"), ("value", f">i{width}")])
    items["size"] = width
    items["value"] = np.array(values, dtype=f">i{width}")
    return items
