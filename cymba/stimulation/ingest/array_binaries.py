"""Columns of a batch as PostgreSQL's binary arrays.

As text, each item would be written in Python, and read again by the database. A column here is a
`bytes` of its own type, which psycopg sends as it is.
"""

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import numpy as np
import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

_HEADER = struct.Struct(">iiIii")  # dimensions, has nulls, type of an item, items, first subscript
_SIZE = struct.Struct(">i")
_NULL = _SIZE.pack(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class BinaryArray(bytes):
    """One-dimensional."""

    item_oid: ClassVar[int]
    array_oid: ClassVar[int]

    @classmethod
    def of(cls, count: int, items: bytes, *, has_nulls: bool = False) -> "BinaryArray":
        """`items` is each item after its size in bytes."""
        return cls(_HEADER.pack(1, has_nulls, cls.item_oid, count, 1) + items)


class SmallIntegers(BinaryArray):
    item_oid, array_oid = 21, 1005


class Integers(BinaryArray):
    item_oid, array_oid = 23, 1007


class BigIntegers(BinaryArray):
    item_oid, array_oid = 20, 1016


class Texts(BinaryArray):
    item_oid, array_oid = 25, 1009


class ByteStrings(BinaryArray):
    item_oid, array_oid = 17, 1001


class Uuids(BinaryArray):
    item_oid, array_oid = 2950, 2951


class Times(BinaryArray):
    item_oid, array_oid = 1184, 1185


def small_integers(values: Sequence[int]) -> BinaryArray:
    return SmallIntegers.of(len(values), _numbers(values, 2))


def integers(values: Sequence[int]) -> BinaryArray:
    return Integers.of(len(values), _numbers(values, 4))


def big_integers(values: Sequence[int]) -> BinaryArray:
    return BigIntegers.of(len(values), _numbers(values, 8))


def big_integers_or_null(values: Sequence[int | None]) -> BinaryArray:
    items = [
        _NULL if value is None else b"\0\0\0\x08" + value.to_bytes(8, signed=True)
        for value in values
    ]
    return BigIntegers.of(len(values), b"".join(items), has_nulls=True)


def texts(values: Iterable[str]) -> BinaryArray:
    return _strings(Texts, [value.encode() for value in values])


def byte_strings(values: Sequence[bytes]) -> BinaryArray:
    return _strings(ByteStrings, values)


def uuids(values: Sequence[UUID]) -> BinaryArray:
    return _strings(Uuids, [value.bytes for value in values])


def times(values: Sequence[datetime]) -> BinaryArray:
    """The same time may stand there many times over: it is written once."""
    known = {at: (at - _EPOCH) // _MICROSECOND for at in set(values)}
    return Times.of(len(values), _numbers([known[at] for at in values], 8))


def _numbers(values: Sequence[int], width: int) -> bytes:
    """
    Raises: OverflowError: one does not fit.
    """
    items = np.empty(len(values), dtype=[("size", ">i4"), ("value", f">i{width}")])
    items["size"] = width
    items["value"] = np.array(values, dtype=f">i{width}")
    return items.tobytes()


def _strings(kind: type[BinaryArray], values: Sequence[bytes]) -> BinaryArray:
    parts: list[bytes] = [b""] * (2 * len(values))
    parts[::2] = [_SIZE.pack(size) for size in map(len, values)]
    parts[1::2] = values
    return kind.of(len(values), b"".join(parts))


def _register(kind: type[BinaryArray]) -> None:
    class AsItIs(Dumper):
        format = Format.BINARY
        oid = kind.array_oid

        def dump(self, obj: Any) -> Buffer | None:
            return bytes(obj)

    psycopg.adapters.register_dumper(kind, AsItIs)


for _kind in (SmallIntegers, Integers, BigIntegers, Texts, ByteStrings, Uuids, Times):
    _register(_kind)
