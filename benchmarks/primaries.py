"""What the four primary questions tell simulated people in a year, as `analyse` does it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.measures import Floats, Measure, Values
from cymba.insights.statistics import (
    PRIMARY_LEVEL,
    Direction,
    Fit,
    Grade,
    Look,
    Reason,
    Tier,
    adjust_bh,
    any_follows,
    cycle_terms,
    grade,
    looks,
    pooled_ratings,
    sequential_p,
    use_follows,
)
from simulator.people import CYCLE_DAYS, World, live, other_items

PRIMARIES = ("pain", "sleep", "mood", "fatigue")
BETTER_HIGH = ("sleep", "mood")
CHARGE_UC = 3.6e5  # of a session


def four_primaries(world: World, *, logs_cycle: bool = False, flags: bool = True) -> Measure:
    """A year of four primary pairs, looked at whenever one has a milestone.

    shown, told, by_130 : ever any at moderate or above; that of pain; that of pain by day 130
    answered : told, or that the difference is smaller than what matters by an interval without 0
    flagged, flagged_by_56 : of pain, that use follows it: ever, and by that milestone

    Only pain is rated in the evenings too. `flags`: False to measure what it is there for.
    """

    def measure(rng: np.random.Generator, people: int) -> Values:
        year = replace(world, days=365)
        diaries = live(year, people, rng)
        others = other_items(diaries, len(PRIMARIES) - 1, rng, year)
        cycle = cycle_terms(range(0, 365, CYCLE_DAYS), 365) if logs_cycle else None
        values = {
            name: np.zeros(people)
            for name in ("shown", "told", "by_130", "answered", "flagged", "flagged_by_56")
        }
        for person in range(people):
            evenings = np.full((len(PRIMARIES), 365), np.nan)
            evenings[0] = diaries.evening[person]
            mornings = np.vstack([diaries.morning[person], others.morning[:, person]])
            before = np.vstack([diaries.before[person], others.before[:, person]])
            ratings, hours = pooled_ratings(evenings, mornings)
            told = _Year(
                list(
                    looks(
                        diaries.sessions[person][None] * CHARGE_UC,
                        ratings,
                        before,
                        diaries.weekdays,
                        [1],
                        hours=hours,
                        cycle=cycle,
                    )
                ),
                flags=flags,
            )
            values["shown"][person] = bool(np.isfinite(told.shown_on).any())
            values["told"][person] = np.isfinite(told.shown_on[0])
            values["by_130"][person] = told.shown_on[0] < 130
            values["answered"][person] = np.isfinite(told.shown_on[0]) or told.is_small
            values["flagged"][person] = np.isfinite(told.flagged_at[0])
            values["flagged_by_56"][person] = told.flagged_at[0] <= 56
        return values

    return measure


class _Year:
    """shown_on: (4,) the day on which each was first moderate or above; flagged_at: the milestone
    at which it was first found that use follows it; infinite: never. is_small: it was ever told of
    pain that its difference is smaller than what matters, by an interval that leaves 0 out."""

    def __init__(self, taken: list[Look], *, flags: bool) -> None:
        self.shown_on: Floats = np.full(len(PRIMARIES), np.inf)
        self.flagged_at: Floats = np.full(len(PRIMARIES), np.inf)
        self.is_small = False
        follows = np.ones(len(PRIMARIES))
        fits: dict[int, Fit] = {}
        sequential = np.ones(len(PRIMARIES))
        for day, item, look in sorted(_moves(taken), key=lambda move: move[:2]):
            at = (0, item, 0)
            numbers = look.associations
            sequential[item] = sequential_p(float(numbers.p[at]), float(sequential[item]))
            follows[item] = np.fmin(follows[item], numbers.follows_p[at])
            if use_follows(follows[item]):
                self.flagged_at[item] = min(self.flagged_at[item], look.milestone)
            fits[item] = _fit(look, item, day)
            self._grade(fits, sequential, follows if flags else np.ones(len(PRIMARIES)), day)

    def _grade(self, fits: dict[int, Fit], sequential: Floats, follows: Floats, day: int) -> None:
        # All four are in the family from the start: one without a look yet counts as p = 1.
        passed: NDArray[np.bool_] = adjust_bh(sequential) <= PRIMARY_LEVEL
        for item, known in fits.items():
            held = use_follows(follows[item]) or any_follows(follows.tolist())
            now = replace(
                known,
                sequential_p=float(sequential[item]),
                tier_passed=bool(passed[item]),
                follows=Reason.USE_FOLLOWS_PAIN if held else None,
            )
            verdict = grade(now).grade
            if verdict in (Grade.MODERATE, Grade.STRONG):
                self.shown_on[item] = min(self.shown_on[item], day)
            if item == 0 and verdict is Grade.NO_CLEAR_LINK and not now.low <= 0 <= now.high:
                self.is_small = True


def _moves(taken: list[Look]) -> list[tuple[int, int, Look]]:
    return [
        (int(look.end_days[0, item, 0]), item, look)
        for look in taken
        for item in range(len(PRIMARIES))
        if look.reached[0, item, 0]
    ]


def _fit(look: Look, item: int, day: int) -> Fit:
    at, numbers = (0, item, 0), look.associations
    first, second = (int(sign) for sign in np.sign(np.nan_to_num(numbers.half_effects[:, *at])))
    better_high = PRIMARIES[item] in BETTER_HIGH
    return Fit(
        effect=float(numbers.shown_effect[at]),
        se=float(numbers.shown_se[at]),
        low=float(numbers.shown_low[at]),
        high=float(numbers.shown_high[at]),
        df=float(numbers.df[at]),
        n=look.milestone,
        pairs_now=look.milestone,
        days=day + 1,
        sequential_p=1.0,
        tier=Tier.PRIMARY,
        tier_passed=False,
        half_signs=(first, second),
        direction=Direction.HIGHER_IS_BETTER if better_high else Direction.LOWER_IS_BETTER,
        minimal_difference=1.0,
    )
