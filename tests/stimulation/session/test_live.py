"""Which frames a live view was sent, as it writes and reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.session.live import MAX_WRITTEN_RANGES, SentRanges

keys = st.tuples(st.sampled_from([0, 7, 2**32 - 1]), st.integers(1, 60))


@given(st.lists(keys))
def test_it_holds_what_was_added_and_nothing_else(added):
    seen = SentRanges()
    for store, seq in added:
        seen.add(store, seq)
    for store in (0, 7, 2**32 - 1):
        held = {seq for seq in range(62) if (store, seq) in seen}
        assert held == {seq for of, seq in added if of == store}


@given(st.lists(keys))
def test_it_is_read_as_it_was_written(added):
    seen = SentRanges()
    for store, seq in added:
        seen.add(store, seq)
    again = SentRanges.parse(str(seen))
    assert again is not None
    assert str(again) == str(seen)
    assert all(key in again for key in added)


def test_of_very_many_ranges_the_first_are_written():
    seen = SentRanges()
    for seq in range(1, 1000, 2):
        seen.add(7, seq)
    again = SentRanges.parse(str(seen))
    assert again is not None
    assert again.ranges[7].ranges() == seen.ranges[7].ranges()[:MAX_WRITTEN_RANGES]
    assert len(str(seen)) < 1000


@pytest.mark.parametrize(
    "written",
    ["x", "1", "1:", ":1-2", "1:2", "1:2-1", "1:0-4", "1:1-5,5-9", "1:5-9,1-2", "1:1-2;", "1:-1-2",
     "1:1-2\n", "1:1-99999999999", "99999999999:1-2"],
)  # fmt: skip
def test_other_text_is_not_taken(written):
    assert SentRanges.parse(written) is None
