"""Columns of integers in few bytes: each in whichever form is the shortest for it.

Numbers that are all the same are one number. Readings go through pcodec
(https://github.com/pcodec/pcodec), as they are and as first or second differences. What seldom
changes is shortest as its zlib-compressed differences.
"""

import zlib
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, DeltaSpec, standalone

Integers = NDArray[np.int64]
PackedIntegers = int | list[int] | bytes

# The first byte of a packed column says its form: pcodec, or differences of so many bytes each.
_PCODEC = b"p"
_WIDTHS = {b"1": "<i1", b"2": "<i2", b"4": "<i4", b"8": "<i8"}
_LEVEL = 12
# Named one by one: left to itself pcodec 1.1 may convolve, and it panics where that meets a batch
# shorter than what it looks back on. A panic is no exception: it would end the process.
_DELTAS = (DeltaSpec.no_op(), DeltaSpec.try_consecutive(1), DeltaSpec.try_consecutive(2))
_INT32 = np.iinfo(np.int32)


class NotIntegers(Exception):
    """Bytes that `pack_integers` did not write, or not for so many numbers."""


def pack_integers(values: Sequence[int]) -> PackedIntegers:
    """`values`, each of 64 bits, as msgpack is to hold them."""
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
        raise NotIntegers(f"{values.size} numbers where {count} belong")
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
    raise NotIntegers(f"no form of column is named {form!r}")
