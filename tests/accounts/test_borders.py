"""The local days of moments, many at once, are those that Python gives for each by itself."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from cymba.accounts.zones import borders, places, zone_names

# Before, St John's put its clocks back over midnight, so that its days overlapped.
FIRST, LAST = date(2012, 1, 1), date(2037, 12, 31)
SECONDS = st.integers(
    1_325_376_000,
    2_145_916_800,  # of those years
)


@given(
    st.sampled_from(sorted(zone_names())),
    st.dates(FIRST, LAST),
    st.integers(0, 800),
    st.lists(SECONDS | st.integers(-200_000, 90_000_000), max_size=20),
)
@example("Africa/Cairo", date(2026, 4, 20), 10, list(range(0, 900_000, 1_799)))  # no midnight
@example("America/Havana", date(2026, 10, 28), 10, list(range(0, 900_000, 1_799)))  # it has two
@example("Asia/Beirut", date(2026, 10, 20), 10, list(range(0, 900_000, 1_799)))
def test_each_moment_lies_in_its_local_day(
    zone: str, first: date, count: int, moments: list[int]
) -> None:
    last = min(first + timedelta(days=count), LAST)
    # Small numbers are counted from the first day, so that many lie near it.
    begin = datetime.combine(first, datetime.min.time(), UTC).timestamp()
    moments_s = [begin + one if one < 100_000_000 else float(one) for one in moments]
    at = places(borders(zone, first, last), np.array(moments_s)).tolist()
    place = ZoneInfo(zone)
    for moment_s, found in zip(moments_s, at, strict=True):
        day = datetime.fromtimestamp(moment_s, place).date()
        assert found == ((day - first).days if first <= day <= last else -1)


@given(
    st.sampled_from(sorted(zone_names())),
    st.dates(FIRST, LAST),
    st.integers(0, 60),
    st.integers(0, 23),
)
@example("Europe/Berlin", date(2026, 3, 20), 20, 2)  # one has no such hour
def test_days_may_begin_at_another_hour(zone: str, first: date, count: int, hour: int) -> None:
    days = [first + timedelta(days=after) for after in range(count + 2)]
    assert borders(zone, first, days[-2], begin_hour=hour).tolist() == [
        datetime.combine(day, time(hour), ZoneInfo(zone)).astimezone(UTC).timestamp()
        for day in days
    ]
