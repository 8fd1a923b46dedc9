"""Which witnesses are one session: a function of their set alone."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.stimulation.written.grouping import Recorder, SessionWitness, leads

BEGAN = datetime(2026, 3, 1, 8, tzinfo=UTC)
WITHIN = {"device": 0, "phone": 1, "person": 5}


def minute(
    number: int,
    recorder: Recorder,
    begin: float,
    length: float,
    *,
    unit: str = "a",
    error: float | None = None,
    same_as: int | None = None,
) -> SessionWitness:
    start = BEGAN + timedelta(minutes=begin)
    off = timedelta(minutes=WITHIN[recorder] if error is None else error)
    word = None if same_as is None else UUID(int=same_as)
    return SessionWitness(
        UUID(int=number), recorder, unit, start, start + timedelta(minutes=length), off, word
    )


def told(*witnesses: SessionWitness) -> dict[int, int]:
    return {one.int: lead.int for one, lead in leads(witnesses).items()}


def test_device_over_phone_over_person() -> None:
    hand, phone = minute(1, "person", 0, 30), minute(2, "phone", 2, 29)
    assert told(hand, phone) == {1: 2, 2: 2}
    assert told(hand, phone, minute(3, "device", 3, 28)) == {1: 3, 2: 3, 3: 3}


def test_times_only_tell_of_one_unit() -> None:
    other = minute(2, "phone", 0, 30, unit="b")
    assert told(minute(1, "person", 0, 30), other) == {1: 1, 2: 2}


def test_a_time_that_is_far_off_takes_one_session_and_not_all_of_a_day() -> None:
    unsure = minute(1, "device", 300, 30, error=600)
    morning, evening = minute(2, "person", 0, 30), minute(3, "person", 700, 30)
    assert told(unsure, morning, evening) == {1: 1, 2: 1, 3: 3}
    # What overlaps with it fits better than what only may.
    noon = minute(4, "person", 305, 30)
    assert told(unsure, morning, evening, noon) == {1: 1, 2: 2, 3: 3, 4: 1}


def test_two_sessions_that_touch_are_two() -> None:
    assert told(minute(1, "person", 0, 30), minute(2, "person", 29, 30)) == {1: 1, 2: 2}
    assert told(minute(1, "device", 0, 30), minute(2, "device", 30, 30)) == {1: 1, 2: 2}


def test_one_that_lasted_all_of_two_recorded_ones_hides_neither() -> None:
    first, second = minute(1, "device", 0, 20), minute(2, "device", 30, 25)
    assert told(first, second, minute(3, "person", 0, 60)) == {1: 1, 2: 2, 3: 2}


def test_the_persons_word_counts_whatever_the_times_say() -> None:
    phone, hand = minute(1, "phone", 0, 30), minute(2, "person", 0, 30, same_as=2)
    assert told(phone, hand) == {1: 1, 2: 2}
    far = minute(2, "person", 900, 30, unit="b", same_as=1)
    assert told(phone, far) == {1: 1, 2: 1}
    # A word about what is not there (any more) says nothing.
    assert told(phone, minute(2, "person", 0, 30, same_as=9)) == {1: 1, 2: 1}
    # Nor do two that only refer to each other.
    circle = minute(2, "person", 0, 30, same_as=3), minute(3, "person", 900, 30, same_as=2)
    assert told(phone, *circle) == {1: 1, 2: 1, 3: 3}


WITNESS = st.builds(
    lambda recorder, begin, length, unit, error, same_as: (
        recorder, begin, length, unit, error, same_as,
    ),
    st.sampled_from(["device", "phone", "person"]),
    st.integers(0, 120),
    st.integers(1, 40),
    st.sampled_from(["a", "a", "a", "b"]),
    st.sampled_from([0, 1, 5, 200]),
    st.none() | st.integers(1, 10),
)  # fmt: skip


@settings(max_examples=200)
@given(facts=st.lists(WITNESS, max_size=10), seed=st.integers(0, 999))
def test_the_order_of_the_witnesses_says_nothing(facts: list, seed: int) -> None:
    witnesses = [
        minute(
            i, recorder, begin, length, unit=unit,
            error=error if recorder == "device" else None,
            same_as=None if recorder == "device" else same_as,
        )
        for i, (recorder, begin, length, unit, error, same_as) in enumerate(facts, 1)
    ]  # fmt: skip
    found = leads(witnesses)
    random.Random(seed).shuffle(witnesses)
    assert leads(witnesses) == found
    by_id = {one.id: one for one in witnesses}
    for id_, lead in found.items():
        assert found[lead] == lead  # whoever stands for others stands for itself
        if by_id[id_].recorder == "device":
            assert lead == id_  # no recorded session hides another
