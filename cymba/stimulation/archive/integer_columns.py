"""Columns of integers in few bytes: each is written in the form that is shortest for it.

Numbers that are all the same become one number. Otherwise pcodec (https://github.com/pcodec/pcodec)
tries the numbers, their first and their second differences, and zlib tries their first differences,
which are short where a value seldom changes.
"""

import zlib
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, standalone

Integers = NDArray[np.int64]
PackedIntegers = int | list[int] | bytes

# The first byte of a packed column names its form: pcodec, or differences of 1, 2, 4 or 8 bytes.
_PCODEC = b"p"
_WIDTHS = {b"1": "<i1", b"2": "<i2", b"4": "<i4", b"8": "<i8"}
_LEVEL = 12
# Named one by one. By default pcodec 1.1 may try a convolution, which panics on a batch shorter
# than its window. A panic is not an exception: it would end the process.
_DELTAS = (DeltaSpec.no_op(), DeltaSpec.try_consecutive(1), DeltaSpec.try_consecutive(2))
_INT32 = np.iinfo(np.int32)


class NotIntegers(Exception):
    """The bytes were not written by `pack_integers`, or hold another count of numbers."""


def pack_integers(values: Sequence[int]) -> PackedIntegers:
    """`values`, each of at most 64 bits, in the form that goes into msgpack."""
    array = np.asarray(values, dtype=np.int64)
    if array.size == 0:
        return []
    if np.all(array == array[0]):
        return int(array[0])
    shortest = min(_compressed(array), key=len)
    plain: list[int] = array.tolist()
    return shortest if len(shortest) < len(msgspec.msgpack.encode(plain)) else plain


def unpack_integers(packed: PackedIntegers, count: int) -> Integers:
    """The `count` numbers that were packed."""
    if isinstance(packed, int):
        return np.full(count, packed, dtype=np.int64)
    values = np.array(packed, dtype=np.int64) if isinstance(packed, list) else _read(packed)
    if values.size != count:
        raise NotIntegers(f"the column holds {values.size} numbers, expected {count}")
    return values


def _compressed(array: Integers) -> Iterator[bytes]:
    differences = np.diff(array, prepend=0)
    for form, width in _WIDTHS.items():
        narrowed = differences.astype(width)
        if np.array_equal(narrowed, differences):
            yield form + zlib.compress(narrowed.tobytes(), 9)
            break
    narrow = _INT32.min <= array.min() and array.max() <= _INT32.max
    column = array.astype(np.int32) if narrow else array
    for delta in _DELTAS:
        config = ChunkConfig(compression_level=_LEVEL, delta_spec=delta)
        yield _PCODEC + standalone.simple_compress(column, config)


def _read(packed: bytes) -> Integers:
    form, body = packed[:1], packed[1:]
    try:
        if form in _WIDTHS:
            differences = np.frombuffer(zlib.decompress(body), dtype=_WIDTHS[form])
            return np.cumsum(differences, dtype=np.int64)
        if form == _PCODEC:
            numbers: Integers = standalone.simple_decompress(body).astype(np.int64)
            return numbers
    except (RuntimeError, ValueError, zlib.error) as error:
        raise NotIntegers(str(error)) from error
    raise NotIntegers(f"unknown form of column: {form!r}")
