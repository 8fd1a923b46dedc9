"""Simulated people: the course of their pain, when they stimulate, and what reaches the diary.

A `World` says what is true, and `live` simulates people in it. Most worlds have no effect at all,
and each has one way in which diaries make ordinary statistics find one. Everything comes from the
seeded generator, so it can be repeated.

A day has three moments: the morning rating, the moment before the session, and the evening.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOMENTS_A_DAY = 3
CYCLE_DAYS = 28
WAVE_PHI = 0.97  # from day to day, of how diligently the diary is kept
RATING_RANGE = (0.0, 10.0)


@dataclass(frozen=True)
class World:
    """What is true of the people who live here. Pain in points of 0 to 10.

    Pain: `mean`, plus a drift of up to ±`drift` over the whole time (each person's own), plus the
    person's week (standard deviation `week_sd` over its days), plus an autoregression of standard
    deviation `spread` whose correlation from morning to morning is `phi`, plus flares.
    Use: at most two sessions a day, more likely after a day with one (`habit`), less at weekends.
    The `driven_by_…` are log odds of a session per point of pain above the mean.
    """

    days: int = 180
    mean: float = 5.0
    spread: float = 1.3
    phi: float = 0.6
    drift: float = 1.5
    week_sd: float = 0.3
    flare_rate: float = 0.0  # flares beginning per day
    flare_points: float = 2.5
    flare_days: float = 5.0

    cycle_points: float = 0.0  # pain on the first day of a 28-day cycle, where it is highest
    cycle_use: float = 0.0  # log odds of a session then

    effect: float = 0.0  # points per session, from the same evening to the next morning
    carry_over: float = 0.3  # the share of the effect that is left a day later

    days_before_use: int = 0  # rated before the first session
    use: float = 0.4  # log odds of a session at mean pain on a working day
    habit: float = 1.0
    weekend: float = -0.5
    use_drift: float = 1.5  # ± log odds over the whole time, each person's own
    driven_by_yesterday: float = 0.0
    driven_by_morning: float = 0.0
    driven_by_now: float = 0.0  # by pain right before the session

    missing: float = 0.3  # of ratings
    missing_waves: float = 0.0  # standard deviation of its log odds, which come and go over weeks
    skipped_on_bad_days: float = 0.0  # log odds of skipping a rating, per point above the mean
    unsynced: float = 0.03  # days on which the device's sessions have not arrived
    starts_on_a_bad_day: bool = (
        False  # joins with pain at least 1.5 spreads above the mean, most likely just above
    )
    rates_before_sessions: bool = False  # the app asks for a rating right before each session
    rates_on_other_days: bool = True  # and at that hour on days without a session


@dataclass(frozen=True)
class Diaries:
    """The app's data on P people over D days; NaN where there is none.

    sessions, morning, evening, before : (P, D); before is the last rating within 24 h before the
    day's first session (on days without one, before the time of day at which there mostly is one)
    weekdays : (D,) 0 Monday … 6 Sunday
    pain     : (P, D) the unrounded truth in the morning
    felt     : (P, D, 3) the unrounded truth at each moment
    """

    sessions: Floats
    morning: Floats
    evening: Floats
    before: Floats
    weekdays: NDArray[np.int64]
    pain: Floats
    felt: Floats


def live(world: World, people: int, rng: np.random.Generator) -> Diaries:
    """Simulate independent people over all days of the world."""
    own = _own_course(world, people, rng)
    weekdays = (np.arange(world.days) + int(rng.integers(7))) % 7
    use_drift = rng.uniform(-1, 1, people) * world.use_drift
    if world.starts_on_a_bad_day:
        use_drift = -np.abs(use_drift)

    sessions = np.zeros((people, world.days))
    pain = np.empty((people, world.days, MOMENTS_A_DAY))
    relief, previous = np.zeros(people), np.zeros(people)
    above_yesterday = np.zeros(people)
    for day in range(world.days):
        pain[:, day, :2] = own[:, day, :2] + relief[:, None]
        above = pain[:, day] - world.mean
        log_odds = (
            world.use
            + world.habit * (np.minimum(previous, 1) - 0.5)
            + world.weekend * (weekdays[day] >= 5)
            + use_drift * (2 * day / world.days - 1)
            + world.cycle_use * _cycle(day)
            + world.driven_by_yesterday * above_yesterday
            + world.driven_by_morning * above[:, 0]
            + world.driven_by_now * above[:, 1]
        )
        first, second = rng.random((2, people)) < _logistic(log_odds)
        today = first + (first & second & (rng.random(people) < 0.3)).astype(np.float64)
        today *= day >= world.days_before_use
        relief = world.effect * (today + world.carry_over * previous)
        pain[:, day, 2] = own[:, day, 2] + relief
        sessions[:, day] = previous = today
        above_yesterday = above[:, 0]

    ratings = _rated(world, pain, rng)
    return Diaries(
        sessions=np.where(rng.random(sessions.shape) < world.unsynced, np.nan, sessions),
        morning=ratings[..., 0],
        evening=ratings[..., 2],
        before=_before(world, ratings, pain, sessions),
        weekdays=weekdays,
        pain=pain[..., 0],
        felt=pain,
    )


def of_the_last_day(diaries: Diaries, world: World, rng: np.random.Generator) -> Diaries:
    """The same lives, rated by a question about the mean of the last 24 hours."""
    flat = diaries.felt.reshape(diaries.felt.shape[0], -1)
    sums = np.cumsum(flat, axis=1)
    sums[:, MOMENTS_A_DAY:] -= np.cumsum(flat, axis=1)[:, :-MOMENTS_A_DAY]
    mean = sums / np.minimum(np.arange(1, flat.shape[1] + 1), MOMENTS_A_DAY)
    asked = mean.reshape(diaries.felt.shape)
    ratings = _rated(world, asked, rng)
    return replace(
        diaries,
        morning=ratings[..., 0],
        evening=ratings[..., 2],
        before=_before(world, ratings, asked, diaries.sessions),
    )


@dataclass(frozen=True)
class Items:
    """Further diary items of the same people and days: each (items, P, D)."""

    morning: Floats
    before: Floats


def other_items(
    diaries: Diaries, items: int, rng: np.random.Generator, world: World, shared: float = 0.5
) -> Items:
    """Ratings that share this much of the pain's course and vary independently for the rest."""
    people, days = diaries.pain.shape
    pain = diaries.pain - world.mean
    own_share = np.sqrt(1 - shared * shared)
    courses = [
        world.mean
        + shared * pain[..., None]
        + own_share * (_own_course(world, people, rng) - world.mean)
        for _ in range(items)
    ]
    morning, before = np.empty((2, items, people, days))
    for item, course in enumerate(courses):
        ratings = _rated(world, course, rng)
        morning[item] = ratings[..., 0]
        before[item] = _before(world, ratings, course, diaries.sessions)
    return Items(morning, before)


def autoregression(
    shape: tuple[int, int], phi: float, rng: np.random.Generator, start: Floats | None = None
) -> Floats:
    """(series, steps) stationary first-order autoregressions of variance 1 and correlation phi."""
    noise = rng.standard_normal(shape)
    noise[:, 1:] *= np.sqrt(1 - phi * phi)
    if start is not None:
        noise[:, 0] = start
    series = np.empty(shape)
    series[:, 0] = noise[:, 0]
    for step in range(1, shape[1]):
        series[:, step] = phi * series[:, step - 1] + noise[:, step]
    return series


def _own_course(world: World, people: int, rng: np.random.Generator) -> Floats:
    """(P, D, 3) pain without any session."""
    steps = world.days * MOMENTS_A_DAY
    start = None
    if world.starts_on_a_bad_day:
        # The tail of a normal beyond 1.5 is nearly exponential.
        start = 1.5 + rng.exponential(0.4, people)
    wave = autoregression((people, steps), world.phi ** (1 / MOMENTS_A_DAY), rng, start)
    week = rng.standard_normal((people, 7)) * world.week_sd
    elapsed = np.linspace(-0.5, 0.5, world.days)
    drift = rng.uniform(-2, 2, people)[:, None] * world.drift * elapsed
    by_day = drift + week[:, np.arange(world.days) % 7] + _flares(world, people, rng)
    by_day = by_day + world.cycle_points * _cycle(np.arange(world.days))
    course: Floats = (
        world.mean + world.spread * wave.reshape(people, world.days, -1) + by_day[..., None]
    )
    return course


def _flares(world: World, people: int, rng: np.random.Generator) -> Floats:
    """(P, D) points added by flares. A flare begins overnight and may end on each day."""
    if not world.flare_rate:
        return np.zeros((people, world.days))
    begins, ends = rng.random((2, people, world.days))
    flaring = np.zeros(people, dtype=np.bool_)
    points = np.empty((people, world.days))
    for day in range(world.days):
        flaring = np.where(
            flaring, ends[:, day] > 1 / world.flare_days, begins[:, day] < world.flare_rate
        )
        points[:, day] = flaring * world.flare_points
    return points


def _rated(world: World, pain: Floats, rng: np.random.Generator) -> Floats:
    """Whole numbers of 0 to 10, some of them never entered."""
    log_odds = np.log(world.missing / (1 - world.missing)) if world.missing else -np.inf
    log_odds = log_odds + world.skipped_on_bad_days * (pain - world.mean)
    if world.missing_waves:
        waves = autoregression(pain.shape[:2], WAVE_PHI, rng)
        log_odds += world.missing_waves * waves[..., None]
    skipped = _logistic(log_odds)
    rated = np.round(np.clip(pain, *RATING_RANGE))
    return np.where(rng.random(pain.shape) < skipped, np.nan, rated)


def _before(world: World, ratings: Floats, pain: Floats, sessions: Floats) -> Floats:
    """The rating right before the session if asked for, else this morning's, else last
    evening's."""
    last_evening = np.full(sessions.shape, np.nan)
    last_evening[:, 1:] = ratings[:, :-1, 2]
    before = np.where(np.isfinite(ratings[..., 0]), ratings[..., 0], last_evening)
    if world.rates_before_sessions:
        asked = np.where(sessions > 0, np.round(np.clip(pain[..., 1], *RATING_RANGE)), np.nan)
        # On days without a session: the rating at that time of day, if there is one.
        other_days = ratings[..., 1] if world.rates_on_other_days else np.nan
        now = np.where(np.isfinite(asked), asked, other_days)
        before = np.where(np.isfinite(now), now, before)
    return before


def _cycle(day: NDArray[np.int64] | int) -> Floats:
    height: Floats = np.cos(2 * np.pi * np.asarray(day) / CYCLE_DAYS)
    return height


def _logistic(log_odds: Floats) -> Floats:
    probability: Floats = 1 / (1 + np.exp(-log_odds))
    return probability


FULL = World()  # autoregression, drift, week, gaps and rounding, all at once

NEAR_UNIT_ROOT = replace(FULL, phi=0.97, spread=2.0)
HALF_MISSING = replace(FULL, phi=0.8, missing=0.5)
YESTERDAY_DRIVES_USE = replace(FULL, driven_by_yesterday=0.6)
MORNING_DRIVES_USE = replace(FULL, driven_by_morning=0.7)
FLARES = replace(FULL, flare_rate=0.03, driven_by_morning=0.4)
SKIPPED_ON_BAD_DAYS = replace(FULL, skipped_on_bad_days=0.5)
REGRESSION_TO_THE_MEAN = replace(FULL, starts_on_a_bad_day=True)
# Only a rating right before the session lets an analysis correct for this.
RISES_AFTER_THE_MORNING = replace(FULL, driven_by_now=0.6)
# With a rating right before each session.
BECAUSE_IT_HURTS = replace(FULL, driven_by_now=1.5, rates_before_sessions=True)
TOO_ILL = replace(FULL, driven_by_now=-0.6)
CYCLE_IN_ANTIPHASE = replace(FULL, cycle_points=1.5, cycle_use=-2.0)
