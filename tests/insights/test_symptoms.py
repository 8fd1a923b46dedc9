"""Ratings are gathered as columns; one by one gives the same."""

from datetime import UTC, date, datetime, timedelta
from math import fsum
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.diary.ratings import read_ratings
from cymba.insights import symptoms
from cymba.insights.symptoms import FeltInZone, symptoms_rated
from tests.packed_ratings import packed

FIRST = date(2026, 3, 27)  # Berlin's clocks go forward on the 29th
BEGIN = datetime(2026, 3, 26, tzinfo=UTC).timestamp()
RATINGS = st.none() | st.integers(0, 10) | st.floats(0, 24)
NOT_SYMPTOMS = {"pgic", "no item any more"}
RATED = st.sampled_from(["sleep_hours", "pain_now", "mood", *sorted(NOT_SYMPTOMS)])
ITEMS = st.dictionaries(RATED, RATINGS)
ENTRIES = st.lists(st.tuples(st.integers(0, 7 * 86_400), ITEMS), max_size=12)
ZONES = ("Europe/Berlin", "Pacific/Auckland", "America/Havana")


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(ZONES), ENTRIES, max_size=3),
    st.lists(st.integers(1, 3), max_size=3),
)
def test_a_rating_counts_on_the_local_day_it_was_felt_on(
    by_zone: dict[str, list[tuple[int, dict[str, float | None]]]], lengths: list[int]
) -> None:
    ends = [FIRST + timedelta(days=sum(lengths[: at + 1])) for at in range(len(lengths))]
    spans = [
        (end - timedelta(days=length), end - timedelta(days=1))
        for end, length in zip(ends, lengths, strict=True)
    ]
    felt = [
        _felt(zone, [BEGIN + at for at, _ in some], [packed(items) for _, items in some])
        for zone, some in by_zone.items()
    ]
    expected: list[Any] = []
    for first, last in spans:
        rated: dict[str, list[float]] = {}
        for zone, some in by_zone.items():
            for at, items in some:
                day = datetime.fromtimestamp(BEGIN + at, ZoneInfo(zone)).date()
                for name, value in items.items():
                    if first <= day <= last and value is not None and name not in NOT_SYMPTOMS:
                        rated.setdefault(name, []).append(value)
        expected.append(
            {
                name: (name, pytest.approx(fsum(all_) / len(all_)), len(all_))
                for name, all_ in rated.items()
            }
        )
    found = symptoms_rated(felt, spans)
    assert [{each.item: each for each in one} for one in found] == expected
    in_diarys_order = ["pain_now", "mood", "sleep_hours"]
    for one in found:
        assert [each.item for each in one] == [
            name for name in in_diarys_order if name in {each.item for each in one}
        ]


def _felt(zone: str, moments_s: list[float], ratings: list[bytes]) -> FeltInZone:
    lengths = b"".join(len(one).to_bytes(4) for one in ratings)
    read = read_ratings(lengths, b"".join(ratings), symptoms._NUMBERS)
    return FeltInZone(zone, np.array(moments_s), read)
