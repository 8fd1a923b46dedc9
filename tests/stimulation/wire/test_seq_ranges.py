"""The set of resolved numbers, against Python's own sets."""

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.wire.seq_ranges import SeqRanges

MAX_RANGES = 12

seqs = st.lists(st.integers(1, 30), max_size=40)


@given(seqs)
def test_it_holds_what_was_added(added: list[int]) -> None:
    resolved, model = SeqRanges(), set[int]()
    for seq in added:
        resolved.add(seq)
        model.add(seq)
    assert [seq for seq in range(32) if seq in resolved] == sorted(model)
    assert [resolved.index(seq) for seq in sorted(model)] == list(range(len(model)))
    assert all(resolved.index(seq) is None for seq in range(32) if seq not in model)
    assert {seq for low, high in resolved.ranges() for seq in range(low, high + 1)} == model
    upto = resolved.upto
    assert set(range(1, upto + 1)) <= model
    assert upto + 1 not in model
    assert resolved.beyond() == [(low, high) for low, high in resolved.ranges() if low > upto + 1]
    assert str(SeqRanges(str(resolved))) == str(resolved)


@given(seqs)
def test_it_is_made_of_sorted_numbers_as_of_single_ones(added: list[int]) -> None:
    one_by_one = SeqRanges()
    for seq in added:
        one_by_one.add(seq)
    assert str(SeqRanges.of_sorted(sorted(set(added)))) == str(one_by_one)
    assert str(SeqRanges.of(one_by_one.ranges())) == str(one_by_one)


@given(seqs, st.lists(st.integers(1, 30), max_size=5))
def test_the_ranges_of_some(added: list[int], asked: list[int]) -> None:
    resolved = SeqRanges()
    for seq in added:
        resolved.add(seq)
    expected = [
        (low, high) for low, high in resolved.beyond() if any(low <= seq <= high for seq in asked)
    ]
    assert resolved.beyond(asked) == expected


def test_room_runs_out_for_new_ranges_only() -> None:
    resolved = SeqRanges()
    for number in range(MAX_RANGES):
        resolved.add(10 + 3 * number)
    assert not resolved.has_room_for(1, MAX_RANGES)
    assert not resolved.has_room_for(10 + 3 * MAX_RANGES, MAX_RANGES)
    assert resolved.has_room_for(10, MAX_RANGES)  # in it
    assert resolved.has_room_for(9, MAX_RANGES)  # joins the first
    assert resolved.has_room_for(11, MAX_RANGES)  # joins it from the other side
    assert resolved.has_room_for(8 + 3 * MAX_RANGES, MAX_RANGES)  # joins the last


def test_postgresql_writes_it_the_same_way(session: Session) -> None:
    resolved = SeqRanges()
    for seq in (1, 2, 3, 9, 7, 2**32 - 1):
        resolved.add(seq)
    for written in (str(resolved), str(SeqRanges())):
        back = session.scalar(
            text("SELECT CAST(CAST(:w AS int8multirange) AS text)"), {"w": written}
        )
        assert back == written
        assert str(SeqRanges(back)) == written
