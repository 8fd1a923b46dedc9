"""Few numbers and many are written alike."""

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.ingest.array_binaries import big_integers, integers, small_integers


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_an_array_of_numbers(values: list[int]) -> None:
    written = big_integers(values)
    assert written[:20] == struct.pack(">iiIii", 1, 0, 20, len(values), 1)
    assert [struct.unpack_from(">iq", written, at) for at in range(20, len(written), 12)] == [
        (8, value) for value in values
    ]


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize(
    ("array", "bits"), [(small_integers, 16), (integers, 32), (big_integers, 64)]
)
def test_a_number_that_does_not_fit_is_refused(
    array: Callable[[list[int]], bytes], bits: int, count: int
) -> None:
    with pytest.raises(OverflowError):
        array([2 ** (bits - 1)] * count)
    assert len(array([2 ** (bits - 1) - 1] * count)) == 20 + count * (4 + bits // 8)
