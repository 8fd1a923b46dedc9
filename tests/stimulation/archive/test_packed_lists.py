from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cymba.stimulation.archive.packed_lists import NotLists, PackedLists

INT64, UINT64 = 2**63, 2**64
# Each takes as many bytes in msgpack; the last takes any number of them.
ALIKE = [
    st.integers(-32, 127) | st.none(),
    st.integers(128, 255),
    st.integers(-128, -33),
    st.integers(256, 2**16 - 1),
    st.integers(-(2**15), -129),
    st.integers(2**16, 2**32 - 1),
    st.integers(-(2**31), -(2**15) - 1),
    st.integers(2**32, UINT64 - 1),
    st.integers(-INT64, -(2**31) - 1),
    st.integers(-INT64, UINT64 - 1) | st.integers(-200, 300) | st.none(),
]
LISTS = st.lists(
    st.one_of(*[st.lists(number, max_size=20) for number in ALIKE]), max_size=8
) | st.one_of(*[st.lists(st.lists(number, max_size=4), max_size=8) for number in ALIKE])


def packed(lists: Any) -> PackedLists:
    raw: list[msgspec.Raw] = msgspec.msgpack.decode(
        msgspec.msgpack.encode(lists), type=list[msgspec.Raw]
    )
    return PackedLists(raw)


@settings(max_examples=150)
@given(LISTS, st.data())
@example([], None)
@example([[1] * 15, [], [70_000] * 16, [None, 70_000, 300]], None)
@example([[256, 256], [None, 70_000]], None)  # six bytes each
@example([[300, 0xCDCD], [-300, 300], [None]], None)
def test_numbers_and_nulls_come_back(
    lists: list[list[int | None]], data: st.DataObject | None
) -> None:
    found = packed(lists)
    assert found.lengths.tolist() == [len(one) for one in lists]
    first, last = 0, len(lists)
    if data is not None:
        first = data.draw(st.integers(0, len(lists)))
        last = data.draw(st.integers(first, len(lists)))
    expected = np.array([*chain.from_iterable(lists[first:last])], dtype=np.float64)
    np.testing.assert_array_equal(found.numbers(first, last), expected)


@pytest.mark.parametrize("one", [7, None, "text", {}, [0] * 65_536])
def test_what_is_no_list_of_a_frame_is_refused(one: object) -> None:
    with pytest.raises(NotLists):
        packed([[1], one])


@pytest.mark.parametrize("one", [["text"], [[1]], [1.5], [True], [300, "a"]])
def test_what_is_no_number_is_refused(one: list[object]) -> None:
    with pytest.raises(msgspec.MsgspecError):
        packed([[300], one]).numbers(0, 2)
