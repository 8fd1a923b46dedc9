"""What is measured on simulated people: each function lets some people live and fits them.

Every measure takes a generator and a number of people, and returns named values, one per person
(NaN: does not apply). A share is the mean of zeros and ones, so the Monte-Carlo error of each is
the standard deviation over the square root of the number of people.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri, stdtr

from cymba.insights.responses import FIRST_LOOK_DAYS, FIRST_WEEKS, LOOK_EVERY_DAYS
from cymba.insights.statistics import (
    SIDE_EFFECT_MILESTONES,
    Associations,
    Course,
    Direction,
    Fit,
    Grade,
    ResponseGrade,
    Tier,
    associate,
    complete_pairs,
    grade,
    look_level,
    looks,
    more_days,
    randomization_test,
    response,
    sequential_p,
    side_effect_trend,
    trial_power,
)
from cymba.insights.statistics.response import CURRENT_DAYS, LOOK_LEVEL
from cymba.insights.statistics.side_effects import FADING_LEVEL, GROWING_LEVEL
from simulator.people import Diaries, World, autoregression, live, of_the_last_day

Floats = NDArray[np.float64]
Values = dict[str, Floats]
Measure = Callable[[np.random.Generator, int], Values]


def one_look(world: World, *, lag: int = 1, of_the_last_24_hours: bool = False) -> Measure:
    """One fit at the end with sessions as the exposure; at lag 0 of the evening after them."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        diaries = live(world, people, rng)
        if of_the_last_24_hours:
            diaries = of_the_last_day(diaries, world, rng)
        if lag == 0:
            diaries = replace(diaries, morning=diaries.evening)
        fits = [
            associate(*_series(diaries, person), diaries.weekdays, [lag], confidence=0.95)
            for person in range(people)
        ]
        effect, low, high, p = (
            np.array([getattr(fit, name)[0, 0, 0] for fit in fits])
            for name in ("effect", "low", "high", "p")
        )
        fitted = np.isfinite(effect)
        covered = (low <= world.effect) & (world.effect <= high)
        return {
            "found": (p < 0.05).astype(np.float64),  # a refusal finds nothing
            "covered": np.where(fitted, covered, np.nan),
            "bias": effect - world.effect,
            "effect": effect,
            "refused": (~fitted).astype(np.float64),
        }

    return measure


def a_year_of_looks(world: World) -> Measure:
    """Every milestone of a year: ever p over all looks at or below .05, ever an interval amiss."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        diaries = live(replace(world, days=365), people, rng)
        found, missed = np.zeros(people), np.zeros(people)
        for person in range(people):
            p = 1.0
            for look in looks(*_series(diaries, person), diaries.weekdays, [1]):
                fit = look.associations
                p = sequential_p(float(fit.p[0, 0, 0]), p)
                if fit.low[0, 0, 0] > world.effect or fit.high[0, 0, 0] < world.effect:
                    missed[person] = 1
            found[person] = p <= 0.05
        return {"found": found, "missed": missed}

    return measure


def own_trial(
    pairs: int, phi: float, effect: float = 0.0, block_days: int = 3, missing: float = 0.2
) -> Measure:
    """A randomised trial with autocorrelated, drifting, rounded ratings and gaps."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        days = 2 * pairs * block_days
        world = World(days=days, phi=phi, use=-np.inf, missing=missing, unsynced=0, week_sd=0.3)
        untreated = live(world, people, rng)
        pair = np.repeat(np.arange(pairs, dtype=np.float64), 2 * block_days)
        found, covered = np.zeros(people), np.full(people, np.nan)
        for person in range(people):
            first = rng.integers(0, 2, pairs)
            treated = np.repeat(np.column_stack([first, 1 - first]), block_days, axis=1)
            treated = treated.ravel().astype(np.float64)
            rating = np.round(np.clip(untreated.pain[person] + effect * treated, 0, 10))
            rating[np.isnan(untreated.morning[person])] = np.nan
            trial = randomization_test(rating, treated, pair, untreated.weekdays)
            found[person] = trial.p <= 0.05
            if np.isfinite(trial.p):
                covered[person] = trial.low <= effect <= trial.high
        return {"found": found, "covered": covered}

    return measure


def trial_as_stated(
    pairs: int, block_days: int, missing: float, used: float, phi: float = 0.6
) -> Measure:
    """Trials of the smallest difference that the preview states is found with .8."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        world = World(
            days=2 * pairs * block_days, phi=phi, use=-np.inf, missing=missing, unsynced=0,
            drift=0, week_sd=0,
        )  # fmt: skip
        untreated = live(world, people, rng)
        # As a diary shows them: rounding to whole points adds noise of its own.
        sd = (world.spread**2 + 1 / 12) ** 0.5
        seen_phi = phi * world.spread**2 / sd**2
        stated = trial_power(pairs, block_days, phi=seen_phi, rated=1 - missing, used=used)
        effect = stated.smallest_difference(sd) or 0.0
        pair = np.repeat(np.arange(pairs, dtype=np.float64), 2 * block_days)
        found = np.zeros(people)
        for person in range(people):
            first = rng.integers(0, 2, pairs)
            treated = np.repeat(np.column_stack([first, 1 - first]), block_days, axis=1)
            treated = treated.ravel().astype(np.float64)
            dose = treated * (rng.random(treated.size) < used)
            rating = np.round(np.clip(untreated.pain[person] - effect * dose, 0, 10))
            rating[np.isnan(untreated.morning[person])] = np.nan
            trial = randomization_test(rating, treated, pair, untreated.weekdays)
            found[person] = trial.p <= 0.05
        return {"found": found}

    return measure


def side_effect(sessions: int, phi: float, share: float) -> Measure:
    """A side effect without a trend, from a hidden autoregression that crosses a threshold."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        present = autoregression((people, sessions), phi, rng) < ndtri(share)
        p = np.array([side_effect_trend(row).p for row in present.astype(np.float64)])
        return {"found": (p < 0.05).astype(np.float64)}

    return measure


def fading_side_effect(sessions: int, slope: float, first_share: float) -> Measure:
    """A side effect whose log odds change by so much with each doubling, from a first share on."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        log_odds = logit(first_share) + slope * np.log2(np.arange(1, sessions + 1))
        present = rng.random((people, sessions)) < expit(log_odds)
        trends = [side_effect_trend(row) for row in present.astype(np.float64)]
        return {
            "found": np.array([trend.p < 0.05 for trend in trends], np.float64),
            "covered": np.array(
                [
                    trend.low <= slope <= trend.high if np.isfinite(trend.slope) else np.nan
                    for trend in trends
                ],
                dtype=np.float64,
            ),
        }

    return measure


def a_year_of_a_side_effect(phi: float, share: float, slope: float = 0.0) -> Measure:
    """A year of daily answers, looked at at each milestone: what the person was ever told.

    From a hidden autoregression that crosses a threshold, whose log odds of a yes begin at `share`
    and change by `slope` with each doubling of the sessions.
    """
    fading, growing = look_level(FADING_LEVEL), look_level(GROWING_LEVEL)

    def measure(rng: np.random.Generator, people: int) -> Values:
        log_odds = logit(share) + slope * np.log2(np.arange(1, 366))
        present = autoregression((people, 365), phi, rng) < ndtri(expit(log_odds))
        told_at = {course: np.full(people, np.inf) for course in (Course.FADING, Course.GROWING)}
        for person, answers in enumerate(present.astype(np.float64)):
            for look in SIDE_EFFECT_MILESTONES:
                if look > answers.size:
                    break
                course = side_effect_trend(answers[:look], fading=fading, growing=growing).course
                if course in told_at:
                    told_at[course][person] = min(told_at[course][person], look)
        sooner = np.minimum(told_at[Course.FADING], told_at[Course.GROWING])
        return {
            "fading": np.isfinite(told_at[Course.FADING]).astype(np.float64),
            "growing": np.isfinite(told_at[Course.GROWING]).astype(np.float64),
            "told": np.isfinite(sooner).astype(np.float64),
            "by_112": (sooner <= 112).astype(np.float64),
        }

    return measure


def sticky_side_effect(sessions: int, correlation: float, share: float) -> Measure:
    """The same as a chain whose own answers have this correlation: longer runs than above."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        present = np.empty((people, sessions))
        present[:, 0] = rng.random(people) < share
        for session in range(1, sessions):
            chance = share + correlation * (present[:, session - 1] - share)
            present[:, session] = rng.random(people) < chance
        p = np.array([side_effect_trend(row).p for row in present])
        return {"found": (p < 0.05).astype(np.float64)}

    return measure


def change_from_baseline(
    baseline_days: int, phi: float, change_ratio: float, missing: float = 0.2
) -> Measure:
    """A baseline that begins with three bad days, and 28 days after a change."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        days = baseline_days + 60
        pain = 6 + 1.5 * autoregression((people, days), phi, rng)
        pain[:, -28:] += 6 * change_ratio
        pain[:, :3] += 1.5
        ratings = np.round(np.clip(pain, 0, 10))
        ratings[rng.random(pain.shape) < missing] = np.nan
        results = [response(row[:baseline_days], row[-28:]) for row in ratings]
        return {
            "covered": np.array(
                [
                    np.nan if np.isnan(result.low) else result.low <= change_ratio <= result.high
                    for result in results
                ],
                dtype=np.float64,
            ),
            "confirmed": np.array([result.grade == "confirmed" for result in results], np.float64),
        }

    return measure


def a_year_of_then_and_now(phi: float, change_ratio: float = 0.0) -> Measure:
    """A year of ratings, read at any time: what then and now ever told, and what by day 112."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        pain = 6 + 1.5 * autoregression((people, 365), phi, rng)
        pain[:, FIRST_WEEKS:] += 6 * change_ratio
        pain[:, :3] += 1.5
        ratings = np.round(np.clip(pain, 0, 10))
        ratings[rng.random(pain.shape) < 0.2] = np.nan
        told = {name: np.zeros(people) for name in ("likely", "worse", "by_112")}
        for person, rated in enumerate(ratings):
            for end in range(FIRST_WEEKS + FIRST_LOOK_DAYS, 366, LOOK_EVERY_DAYS):
                current = rated[max(end - CURRENT_DAYS, FIRST_WEEKS) : end]
                found = response(rated[:FIRST_WEEKS], current, level=LOOK_LEVEL).grade
                if found in (ResponseGrade.LIKELY, ResponseGrade.CONFIRMED):
                    told["likely"][person] = 1
                    told["by_112"][person] = max(told["by_112"][person], end <= 112)
                if found is ResponseGrade.WORSE:
                    told["worse"][person] = 1
        return told

    return measure


def days_named(world: World) -> Measure:
    """Every tenth day of two years without an effect: of the days named as `more_days`, the share
    that held the day they spoke of.

    collecting : that of the first milestone
    later      : that of the milestone at which the interval reaches the minimal difference
    A day after the two years is not known: such a range is left out where it reaches so far.
    """

    def measure(rng: np.random.Generator, people: int) -> Values:
        days = 730
        diaries = live(replace(world, days=days), people, rng)
        none = np.full((1, 1), np.nan)
        nothing_yet = _fit_of(associate(none, none, none, [0], [1]))
        held = {"collecting": np.full(people, np.nan), "later": np.full(people, np.nan)}
        for person in range(people):
            series = _series(diaries, person)
            complete = np.cumsum(complete_pairs(*series, 1)[0, 0])
            fits = {
                int(look.end_days[0, 0, 0]): _fit_of(look.associations)
                for look in looks(*series, diaries.weekdays, [1])
            }
            answers = [
                day for day, fit in fits.items() if fit.high - fit.low <= 2 * fit.minimal_difference
            ]
            found: dict[str, list[bool]] = {"collecting": [], "later": []}
            for today in range(10, min([*answers, days]), 10):
                taken = [fit for day, fit in fits.items() if day <= today]
                fit = taken[-1] if taken else nothing_yet
                named = more_days(replace(fit, pairs_now=int(complete[today]), days=today + 1))
                awaited = (answers if taken else list(fits))[:1]
                if named is not None and (awaited or today + named.high < days):
                    when = "later" if taken else "collecting"
                    truly = awaited[0] - today if awaited else days
                    found[when].append(named.low <= truly <= named.high)
            for when, those in found.items():
                if those:
                    held[when][person] = np.mean(those)
        return held

    return measure


def fourteen_days(world: World) -> Measure:
    """The grade of whatever fourteen days can give."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        diaries = live(replace(world, days=14, missing=0.0, unsynced=0.0), people, rng)
        grades = np.zeros(people)
        for person in range(people):
            fits = associate(*_series(diaries, person), diaries.weekdays, [1])
            fit = replace(_fit_of(fits), days=14)
            grades[person] = grade(fit).grade is not Grade.COLLECTING
        return {"otherwise": grades}

    return measure


def _fit_of(fits: Associations) -> Fit:
    """The one pair's, with its tests passed."""
    n = int(fits.n[0, 0, 0])
    return Fit(
        effect=float(fits.shown_effect[0, 0, 0]),
        se=float(fits.shown_se[0, 0, 0]),
        low=float(fits.shown_low[0, 0, 0]),
        high=float(fits.shown_high[0, 0, 0]),
        df=float(fits.df[0, 0, 0]),
        n=n,
        pairs_now=n,
        days=0,
        sequential_p=sequential_p(float(fits.p[0, 0, 0])),
        tier=Tier.PRIMARY,
        tier_passed=True,
        half_signs=(-1, -1),
        direction=Direction.LOWER_IS_BETTER,
        minimal_difference=1.0,
    )


def pearson_every_day(world: World) -> Measure:
    """What symptom trackers show: Pearson's r of today's sessions and tomorrow's pain, p < .05.

    Looked at daily for a year from the twentieth pair; no method of ours, but the measure of how
    misleading a world is.
    """

    def measure(rng: np.random.Generator, people: int) -> Values:
        diaries = live(replace(world, days=365), people, rng)
        found = np.zeros(people)
        for person in range(people):
            x, y = diaries.sessions[person, :-1], diaries.morning[person, 1:]
            both = np.isfinite(x) & np.isfinite(y)
            x, y = x[both], y[both]
            n = np.arange(1, x.size + 1)
            sx, sy, sxx, syy, sxy = (np.cumsum(v) for v in (x, y, x * x, y * y, x * y))
            with np.errstate(all="ignore"):
                r = (sxy - sx * sy / n) / np.sqrt((sxx - sx**2 / n) * (syy - sy**2 / n))
                p = 2 * stdtr(n - 2, -np.abs(r) * np.sqrt((n - 2) / (1 - r * r)))
            found[person] = (p[19:] < 0.05).any()
        return {"found": found}

    return measure


def _series(diaries: Diaries, person: int) -> tuple[Floats, Floats, Floats]:
    return (
        diaries.sessions[person][None],
        diaries.morning[person][None],
        diaries.before[person][None],
    )
