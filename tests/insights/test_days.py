"""Days over clock changes, travel and midnight: the expected tables are written by hand."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from cymba.insights.days import Days, EntryFact, build_days, local_day
from cymba.insights.exposures import (
    EXPOSURES,
    Exposure,
    SessionFact,
    exposures_of,
    level_exposures,
    programme_exposures,
    programme_name,
)
from cymba.insights.outcomes import OUTCOMES, PRIMARY_OUTCOMES

BERLIN = ZoneInfo("Europe/Berlin")
CHARGE, SESSIONS, MINUTES, RATIO, EVENING = range(5)
PAIN = [OUTCOMES["pain_now"]]


def used(wall: str, zone: ZoneInfo = BERLIN, *, minutes: float = 30, **more: Any) -> SessionFact:
    local = datetime.fromisoformat(wall).replace(tzinfo=zone)
    start = local.astimezone(UTC)
    facts: dict[str, Any] = {"stimulating_s": minutes * 30, "charge_uc": 11_250.0} | more
    return SessionFact(local, start, start + timedelta(minutes=minutes), **facts)


def felt(wall: str, pain: int, zone: ZoneInfo = BERLIN) -> EntryFact:
    local = datetime.fromisoformat(wall).replace(tzinfo=zone)
    return EntryFact(local, local.astimezone(UTC), {"pain_now": pain})


def days(
    sessions: list[SessionFact],
    entries: list[EntryFact],
    unsynced: tuple[str, ...] = (),
    exposures: tuple[Exposure, ...] = EXPOSURES,
) -> Days:
    return build_days(
        sessions,
        entries,
        exposures=exposures,
        outcomes=PAIN,
        have_synced=lambda dates: [day.isoformat() not in unsynced for day in dates],
    )


def table(row: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in row]


def test_a_night_session_belongs_to_the_evening_before_four() -> None:
    built = days([used("2026-05-01T23:50"), used("2026-05-03T03:59"), used("2026-05-03T04:00")], [])
    assert built.dates == [date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)]
    assert table(built.exposures[SESSIONS]) == [1, 1, 1]
    assert table(built.exposures[EVENING]) == [1, 1, 0]
    assert table(built.exposures[CHARGE]) == [11.25, 11.25, 11.25]


@pytest.mark.parametrize(
    ("wall", "day"),
    [
        ("2026-03-29T01:59+01:00", "2026-03-28"),  # before the spring change
        ("2026-03-29T03:30+02:00", "2026-03-28"),  # after it, still night
        ("2026-03-29T04:00+02:00", "2026-03-29"),
        ("2026-10-25T02:30+02:00", "2026-10-24"),  # both of the repeated hours
        ("2026-10-25T02:30+01:00", "2026-10-24"),
        ("2026-10-25T04:00+01:00", "2026-10-25"),
    ],
)
def test_days_begin_at_four_by_the_wall_on_days_the_clock_changes(wall: str, day: str) -> None:
    assert local_day(datetime.fromisoformat(wall).astimezone(BERLIN)) == date.fromisoformat(day)


def test_travel_over_the_date_line_makes_no_day_twice() -> None:
    # Auckland Saturday evening; then a flight east, which lands on Saturday morning in Honolulu.
    auckland, honolulu = ZoneInfo("Pacific/Auckland"), ZoneInfo("Pacific/Honolulu")
    sessions = [
        used("2026-05-02T20:00", auckland),
        used("2026-05-02T11:00", honolulu),
        used("2026-05-03T11:00", honolulu),
    ]
    built = days(sessions, [])
    assert built.dates == [date(2026, 5, 2), date(2026, 5, 3)]
    assert table(built.exposures[SESSIONS]) == [2, 1]


def test_a_morning_lived_before_the_evening_of_the_day_before_is_not_after_it() -> None:
    # Saturday's morning in Auckland; then a flight east, and Friday's evening in Honolulu.
    auckland, honolulu = ZoneInfo("Pacific/Auckland"), ZoneInfo("Pacific/Honolulu")
    entries = [felt("2026-05-02T08:00", 8, auckland), felt("2026-05-02T08:00", 2, honolulu)]
    flown = days([used("2026-05-01T20:00", honolulu)], entries)
    assert table(flown.exposures[SESSIONS]) == [1, 0]
    assert table(flown.mornings[0]) == [None, 2]
    assert table(days([], entries).mornings[0]) == [5]


def test_a_day_without_sessions_is_zero_only_if_the_device_has_synced() -> None:
    built = days([used("2026-05-01T20:00"), used("2026-05-04T20:00")], [], ("2026-05-03",))
    assert table(built.exposures[SESSIONS]) == [1, 0, None, 1]
    assert table(built.exposures[RATIO]) == [None, None, None, None]


def test_mornings_are_before_noon_and_before_the_days_first_session() -> None:
    entries = [
        felt("2026-05-01T03:59", 9),  # the night before
        felt("2026-05-01T07:00", 4),
        felt("2026-05-01T09:00", 6),
        felt("2026-05-01T12:00", 9),  # no longer morning
        felt("2026-05-02T08:00", 3),
        felt("2026-05-02T09:30", 1),  # after the session began
    ]
    built = days([used("2026-05-02T09:00")], entries)
    assert built.dates[0] == date(2026, 4, 30)
    assert table(built.mornings[0]) == [None, 5, 3]


def test_same_day_is_half_an_hour_after_the_last_session_or_the_usual_time() -> None:
    sessions = [used("2026-05-01T18:00"), used("2026-05-02T18:00")]
    entries = [
        felt("2026-05-01T18:50", 9),  # too soon: the session ended at 18:30
        felt("2026-05-01T19:00", 4),
        felt("2026-05-03T18:30", 9),  # no session, and before the usual time
        felt("2026-05-03T19:30", 6),
    ]
    built = days(sessions, entries)
    assert table(built.same_day[0]) == [4, None, 6]


def test_before_is_the_last_entry_of_the_24_hours_before_the_session() -> None:
    sessions = [used("2026-05-01T18:00"), used("2026-05-04T18:00")]
    entries = [
        felt("2026-05-01T08:00", 3),
        felt("2026-05-01T17:59", 7),
        felt("2026-05-01T18:01", 1),
        felt("2026-05-03T17:59", 9),  # a minute too early for the session of the 4th
    ]
    assert table(days(sessions, entries).before[0]) == [7, 1, 9, None]


def test_an_edited_entry_changes_its_day_and_no_other() -> None:
    sessions = [used(f"2026-05-{day:02}T18:00") for day in range(1, 29) if day % 3]
    entries = [
        felt(f"2026-05-{day:02}T{hour:02}:00", day % 11) for day in range(1, 29) for hour in (8, 20)
    ]
    edited = [
        felt("2026-05-14T08:00", 10) if f.local.day == 14 and f.local.hour == 8 else f
        for f in entries
    ]
    old, new = days(sessions, entries), days(sessions, edited)
    for name in ("exposures", "mornings", "same_day", "before"):
        before, after = getattr(old, name), getattr(new, name)
        differs = ~((before == after) | (np.isnan(before) & np.isnan(after)))
        changed = {old.dates[t].day for t in np.flatnonzero(differs.any(axis=0))}
        assert changed <= {14}, name
    assert not np.array_equal(old.mornings, new.mornings, equal_nan=True)


def test_a_late_session_changes_no_earlier_day() -> None:
    sessions = [used(f"2026-05-{day:02}T18:00") for day in range(1, 29) if day % 3]
    entries = [felt(f"2026-05-{day:02}T20:00", day % 11) for day in range(1, 29)]
    late = [*sessions, used("2026-05-15T10:00")]
    old, new = days(sessions, entries), days(late, entries)
    for name in ("exposures", "mornings", "same_day", "before"):
        np.testing.assert_array_equal(getattr(old, name)[:, :14], getattr(new, name)[:, :14])


def test_programmes_are_told_apart_by_what_they_are_and_shared_by_time() -> None:
    a = programme_name({"frequency_hz": 25.0, "pulse_width_us": 250, "on_s": 30, "off_s": 30})
    assert a == "25hz-250us-30s-30s"
    sessions = [
        used("2026-05-01T10:00", programme=a, minutes=30),
        used("2026-05-01T18:00", programme="other", minutes=10),
    ]
    first, second = programme_exposures(sessions)
    assert (first.of_day(sessions), second.of_day(sessions)) == (0.75, 0.25)
    assert programme_exposures(sessions[:1]) == ()


@pytest.mark.parametrize(
    ("charges", "primary"),
    [
        ([], "charge"),
        ([1.0, 1.0], "charge"),
        ([1.0, None], "charge"),
        ([1.0, None, None], "minutes"),
        ([None], "minutes"),
    ],
)
def test_minutes_are_the_primary_exposure_of_who_has_no_current(
    charges: list[float | None], primary: str
) -> None:
    sessions = [used("2026-05-01T10:00", charge_uc=charge) for charge in charges]
    assert [one.name for one in exposures_of(sessions) if one.primary] == [primary]


def test_a_level_is_of_one_model_and_never_beside_a_current() -> None:
    band: dict[str, Any] = {"model": "neck_band", "charge_uc": None}
    sessions = [
        used("2026-05-01T10:00", native_level=3.0, minutes=10, **band),
        used("2026-05-01T18:00", native_level=6.0, minutes=20, **band),
        used("2026-05-02T10:00", native_level=4.0, **band),
        used("2026-05-02T18:00", native_level=40.0, model="other_band", charge_uc=None),
        used("2026-05-03T18:00", native_level=41.0, model="other_band", charge_uc=None),
        used("2026-05-04T10:00", native_level=5.0, **band),
        used("2026-05-04T18:00", native_level=None, **band),
        used("2026-05-05T10:00", native_level=9.0, model="ear_cymba", max_amplitude_ua=900),
        used("2026-05-06T10:00", native_level=8.0, model="ear_cymba", max_amplitude_ua=800),
    ]
    exposures = level_exposures(sessions)
    assert [one.name for one in exposures] == ["level:neck_band", "level:other_band"]
    built = days(sessions, [], exposures=exposures)
    assert table(built.exposures[0]) == [5, None, None, None, None, None]
    assert table(built.exposures[1]) == [None, None, 41, None, None, None]


def test_who_changes_device_keeps_their_minutes() -> None:
    """Whatever a device tells, the minutes go on, and nobody's levels or charges are mixed."""
    sessions = [
        used("2026-05-01T10:00", minutes=30, model="ear_cymba"),
        used("2026-05-02T10:00", minutes=15, model="neck_band", charge_uc=None, native_level=3.0),
        used("2026-05-03T10:00", minutes=10, model="neck_band", charge_uc=None, native_level=4.0),
        used("2026-05-04T10:00", minutes=20, model="tens_ear_clip", charge_uc=None),
    ]
    names = [one.name for one in exposures_of(sessions)]
    built = days(sessions, [], exposures=exposures_of(sessions))
    assert table(built.exposures[names.index("minutes")]) == [15, 7.5, 5, 10]
    assert table(built.exposures[names.index("sessions")]) == [1, 1, 1, 1]
    assert table(built.exposures[names.index("charge")])[1:] == [None, None, None]
    assert table(built.exposures[names.index("level:neck_band")]) == [None, 3, 4, None]


def test_a_charge_that_is_not_known_makes_the_days_sum_unknown() -> None:
    built = days([used("2026-05-01T10:00"), used("2026-05-01T18:00", charge_uc=None)], [])
    assert table(built.exposures[CHARGE]) == [None]
    assert table(built.exposures[MINUTES]) == [30.0]


def test_the_registry_has_the_primaries_and_the_scores() -> None:
    assert {name for name, outcome in OUTCOMES.items() if outcome.primary} == set(PRIMARY_OUTCOMES)
    assert OUTCOMES["phq4.phq2"].value({"phq4": [3, 3, 1, 0]}) == 1
    assert OUTCOMES["phq4.total"].value({"phq4": [3, None, 1, 0]}) is None
    assert OUTCOMES["cough"].value({"cough": {"severity": "none"}}) == 0
    assert OUTCOMES["cough"].value({}) is None
