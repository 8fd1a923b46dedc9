"""Columns of a batch as PostgreSQL's binary arrays.

As text, each item would be written in Python, and read again by the database.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import mul
from typing import NamedTuple

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


class ItemType(NamedTuple):
    number: int  # PostgreSQL's
    width: int | None = None  # in bytes


SMALL_INTEGER, BIG_INTEGER, UUID = ItemType(21, 2), ItemType(20, 8), ItemType(2950, 16)
BYTES = ItemType(17)
_INTEGER, _TEXT, _TIME = ItemType(23, 4), ItemType(25), ItemType(1184, 8)


class BinaryArray(bytes):
    """One-dimensional; psycopg sends it as it is. The statement casts it to an array's type, and
    PostgreSQL refuses items of another."""


class _AsItIs(Dumper):
    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> Buffer:
        return obj


psycopg.adapters.register_dumper(BinaryArray, _AsItIs)


class Field(NamedTuple):
    """Of packed rows. Its values are as the database holds them. An integer may be shorter, if it
    is never negative."""

    name: str
    width: int  # in the rows, in bytes
    item_type: ItemType
    null: bytes | None = None  # the value that stands for null


def columns_of_rows(rows: Sequence[bytes], fields: Sequence[Field]) -> dict[str, BinaryArray]:
    """An array of each field of rows that hold these fields one after the other.

    Raises: OverflowError: a row has another size.
    """
    row_bytes = sum([field.width for field in fields])
    joined = b"".join(rows)
    if len(joined) != len(rows) * row_bytes:
        raise OverflowError(f"not each of the rows has {row_bytes} bytes")
    columns: dict[str, BinaryArray] = {}
    at = 0
    for field in fields:
        places = range(at, len(joined), row_bytes)
        at += field.width
        if field.null is not None:
            values = [joined[i : i + field.width] for i in places]
            columns[field.name] = _with_nulls(field.item_type, values, field.null)
            continue
        item_width = field.item_type.width or field.width
        before = _SIZE.pack(item_width) + bytes(item_width - field.width)
        if len(rows) <= _FEW:  # NumPy's own overhead is as much as these take
            items = b"".join([before + joined[i : i + field.width] for i in places])
        else:
            packed = np.frombuffer(joined, np.uint8).reshape(len(rows), row_bytes)
            whole = np.empty((len(rows), len(before) + field.width), np.uint8)
            whole[:, : len(before)] = np.frombuffer(before, np.uint8)
            whole[:, len(before) :] = packed[:, at - field.width : at]
            items = whole.tobytes()
        columns[field.name] = _array(field.item_type, len(rows), items)
    return columns


def _with_nulls(item_type: ItemType, values: list[bytes], null: bytes) -> BinaryArray:
    if values.count(null) == len(values):
        items = _NULL * len(values)
    else:
        size = _SIZE.pack(len(null))
        items = b"".join([_NULL if value == null else size + value for value in values])
    return _array(item_type, len(values), items, has_nulls=True)


def byte_strings(values: Sequence[bytes]) -> BinaryArray:
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[::2] = [_SIZE.pack(size) for size in map(len, values)]
    parts[1::2] = values
    return _array(BYTES, len(values), b"".join(parts))


def times(values: Sequence[datetime]) -> BinaryArray:
    """The same time may stand there many times over: it is written once."""
    known = {at: (at - _EPOCH) // _MICROSECOND for at in set(values)}
    return _array(_TIME, len(values), _numbers([known[at] for at in values], 8))


# Of runs of equal items: each value stands there as often as `counts` says.


def runs_of_integers(values: Sequence[int], counts: Sequence[int]) -> BinaryArray:
    if len(values) <= _FEW:
        return _runs(_INTEGER, [value.to_bytes(4, signed=True) for value in values], counts)
    items = _items(values, 4).repeat(counts)
    return _array(_INTEGER, len(items), items.tobytes())


def runs_of_texts(values: Iterable[str], counts: Sequence[int]) -> BinaryArray:
    return _runs(_TEXT, [value.encode() for value in values], counts)


def _runs(item_type: ItemType, items: Sequence[bytes], counts: Sequence[int]) -> BinaryArray:
    sized = [_SIZE.pack(len(item)) + item for item in items]
    return _array(item_type, sum(counts), b"".join(map(mul, sized, counts)))


def _array(
    item_type: ItemType, count: int, items: bytes, *, has_nulls: bool = False
) -> BinaryArray:
    """`items` is each item after its size in bytes."""
    return BinaryArray(_HEADER.pack(1, has_nulls, item_type.number, count, 1) + items)


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
