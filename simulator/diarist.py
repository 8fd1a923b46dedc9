"""A simulated person's months as times of sessions and diary entries.

`people` simulates the course. Here it becomes sessions at the end of the afternoon, and ratings in
the morning and late in the evening, in the person's time zone.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from simulator.people import Floats, World, live, other_items
from simulator.seeding import chance

MORNING, EVENING = time(7, 30), time(21, 45)
# The second session of a day begins when the first, of at most an hour, is surely over.
RIGHT_BEFORE = time(16, 15)  # before any session, even one that is half an hour early
SESSIONS = (time(17, 30), time(19, 15))
SPREAD_MIN = 12.0
# Rated in the morning beside pain. A higher rating is better, or worse as with pain.
OTHER_ITEMS = {"fatigue": False, "mood": True, "sleep_quality": True}
SIDE_EFFECT = "tingling"  # log odds at the first session, and for each doubling of the sessions
FADING = (1.6, -0.75)


@dataclass(frozen=True, slots=True)
class Entry:
    felt_at: datetime  # UTC
    items: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Months:
    """`starts` are the beginnings of the sessions in UTC, ascending, as are the entries."""

    starts: list[datetime]
    entries: list[Entry]


def live_months(
    world: World, rng: np.random.Generator, *, first_day: date, time_zone: str = "UTC"
) -> Months:
    """One person's days from `first_day` on. Every session reaches the server."""
    times, others = rng.spawn(2)
    diaries = live(replace(world, unsynced=0.0), 1, rng)
    items = other_items(diaries, len(OTHER_ITEMS), others, world)
    zone = ZoneInfo(time_zone)
    starts: list[datetime] = []
    entries: list[Entry] = []
    for day in range(world.days):
        today = first_day + timedelta(days=day)

        def at(wall: time, today: date = today) -> datetime:
            offset = timedelta(minutes=float(np.clip(times.normal(0, SPREAD_MIN), -30, 30)))
            return datetime.combine(today, wall, tzinfo=zone).astimezone(UTC) + offset

        morning = _ratings(diaries.morning[0, day], items.morning[:, 0, day])
        if morning:
            entries.append(Entry(at(MORNING), morning))
        if world.rates_before_sessions and np.isfinite(diaries.before[0, day]):
            entries.append(Entry(at(RIGHT_BEFORE), {"pain_now": int(diaries.before[0, day])}))
        sessions = int(diaries.sessions[0, day])
        starts += [at(wall) for wall in SESSIONS[:sessions]]
        evening: dict[str, Any] = {}
        if np.isfinite(diaries.evening[0, day]):
            evening["pain_now"] = int(diaries.evening[0, day])
            if sessions:
                evening[SIDE_EFFECT] = _answer(len(starts), times)
        if evening:
            entries.append(Entry(at(EVENING), evening))
    return Months(starts, entries)


def _ratings(pain: float, others: Floats) -> dict[str, Any]:
    found = {} if np.isnan(pain) else {"pain_now": int(pain)}
    for (name, is_better), rating in zip(OTHER_ITEMS.items(), others, strict=True):
        if np.isfinite(rating):
            found[name] = int(10 - rating) if is_better else int(rating)
    return found


def _answer(session_number: int, rng: np.random.Generator) -> dict[str, str]:
    log_odds = FADING[0] + FADING[1] * np.log2(session_number)
    yes = chance(rng, float(1 / (1 + np.exp(-log_odds))))
    return {"severity": "mild" if yes else "none"}
