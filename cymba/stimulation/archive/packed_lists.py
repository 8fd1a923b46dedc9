"""Lists of whole numbers and nulls in msgpack, many of which are read as one array.

Where all numbers take as many bytes, which most readings of a channel do, no number becomes an
object.
"""

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from cymba.float_columns import Floats
from cymba.stimulation.archive.integer_columns import Integers

Bytes = NDArray[np.uint8]


class NotLists(Exception):
    """The bytes are none of msgpack's lists that a frame can hold."""


class PackedLists:
    """Lists one after the other; `lengths` are theirs.

    Raises:
        NotLists: one is none.
    """

    def __init__(self, lists: Sequence[msgspec.Raw]) -> None:
        self._packed = packed = np.frombuffer(b"".join(lists), dtype=np.uint8)
        sizes = np.fromiter(map(len, lists), np.int64, len(lists))
        self._begins = np.append(0, np.cumsum(sizes))
        heads = packed[self._begins[:-1]]
        self.lengths: Integers = (heads & 0x0F).astype(np.int64)
        self._is_long = heads & 0xF0 != 0x90
        self._any_is_long = bool(self._is_long.any())
        if self._any_is_long:
            if np.any(heads[self._is_long] != 0xDC):
                raise NotLists("no list, or too long a one")
            at = self._begins[:-1][self._is_long, np.newaxis] + (1, 2)
            self.lengths[self._is_long] = packed[at].view(">u2")[:, 0]

    def numbers(self, first: int, last: int) -> Floats:
        """Those of the lists from `first` to before `last`, one after the other; NaN for null.

        Raises:
            msgspec.MsgspecError: they are not all whole numbers or null.
        """
        lengths, borders = self.lengths[first:last], self._begins[first : last + 1]
        packed, count = self._packed[borders[0] : borders[-1]], int(lengths.sum())
        sizes, begins = np.diff(borders) - 1, borders[:-1] - borders[0]
        is_number = np.ones(packed.size, dtype=np.bool_)
        is_number[begins] = False
        if self._any_is_long:
            is_long = self._is_long[first:last]
            is_number[begins[is_long, np.newaxis] + (1, 2)] = False
            sizes[is_long] -= 2
        packed = packed[is_number]
        values = _of_one_width(packed, count)
        if values is not None:
            return values
        values = np.empty(count)
        widths = sizes // np.maximum(lengths, 1)
        widths[widths * lengths != sizes] = 0  # more than one, for all that is known
        for width in (*np.flatnonzero(np.bincount(widths)[1:]) + 1, 0):
            of_width = widths == width
            is_read = np.repeat(of_width, lengths)
            some, of_some = packed[np.repeat(of_width, sizes)], int(is_read.sum())
            read = _of_one_width(some, of_some)
            if read is None and width:
                widths[of_width] = 0  # it was not so
            else:
                values[is_read] = _one_by_one(some, of_some) if read is None else read
        return values


def array_head(count: int) -> bytes:
    """How msgpack begins an array of so many."""
    return b"\xdd" + struct.pack(">I", count)


def _of_one_width(packed: Bytes, count: int) -> Floats | None:
    """None: it takes another look to tell where each of the numbers begins."""
    width = packed.size // count if count else 0
    if width * count != packed.size or width not in _WIDTHS:
        return None
    if width == 1:
        values = _OF_ONE_BYTE[packed]
        return None if np.any(values == np.inf) else values
    kinds = packed[::width]
    form = _FORMS.get(int(kinds[0]))
    if form is None or form.itemsize != width - 1 or np.any(kinds != kinds[0]):
        return None
    numbers: Floats = packed.reshape(count, width)[:, 1:].copy().view(form).astype(np.float64)
    return numbers[:, 0]


def _one_by_one(packed: Bytes, count: int) -> Floats:
    numbers = _NUMBERS.decode(array_head(count) + packed.tobytes())
    try:
        # A third of the time that NumPy takes to look at each number of a list.
        whole = struct.pack(f"{count}q", *numbers)
    except struct.error:  # null among them
        known = [np.nan if one is None else one for one in numbers]
        return np.fromiter(known, np.float64, count)
    return np.frombuffer(whole, dtype=np.int64).astype(np.float64)


_NUMBERS: msgspec.msgpack.Decoder[list[int | None]] = msgspec.msgpack.Decoder(list[int | None])
_WIDTHS = (1, 2, 3, 5, 9)
# By the byte before each number, what follows it.
_FORMS: dict[int, np.dtype[Any]] = {
    0xCC: np.dtype(">u1"),
    0xCD: np.dtype(">u2"),
    0xCE: np.dtype(">u4"),
    0xCF: np.dtype(">u8"),
    0xD0: np.dtype(">i1"),
    0xD1: np.dtype(">i2"),
    0xD2: np.dtype(">i4"),
    0xD3: np.dtype(">i8"),
}
# A byte that is a number or null by itself; infinite: it is not.
_OF_ONE_BYTE = np.full(256, np.inf)
_OF_ONE_BYTE[:0x80] = range(0x80)
_OF_ONE_BYTE[0xE0:] = range(-0x20, 0)
_OF_ONE_BYTE[0xC0] = np.nan
