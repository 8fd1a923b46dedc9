"""What a trial's preview states from a diary, against what is true of the person who kept it."""

from functools import cache

import numpy as np

from benchmarks.measures import Measure, Values
from cymba.insights.experiments.preview import OFFERED, spread, step
from cymba.insights.statistics import TrialPower, trial_power
from simulator.people import World, live

MISSING = 0.3  # of mornings
SELDOM = 0.65  # a probability far from the .8 that was stated


def trial_from_diary(days: int, phi: float = 0.6) -> Measure:
    """The true probability of finding the difference that a diary of so many days states is found
    with .8; and whether it is far below that. Diaries too short to tell get the usual values."""

    def measure(rng: np.random.Generator, people: int) -> Values:
        world = World(days=days, phi=phi, use=-np.inf, missing=MISSING, drift=0, week_sd=0)
        sd = (world.spread**2 + 1 / 12) ** 0.5  # rounding to whole points adds noise of its own
        truth = _power(step(phi * world.spread**2 / sd**2))
        probability = np.full(people, np.nan)
        for person, mornings in enumerate(live(world, people, rng).morning):
            seen = spread(mornings)
            stated = None if seen is None else _power(step(seen[1])).smallest_difference(seen[0])
            if stated is not None:
                probability[person] = truth.of(stated, sd)
        far = np.where(np.isnan(probability), np.nan, probability < SELDOM)
        return {"probability": probability, "far": far}

    return measure


@cache
def _power(phi: float) -> TrialPower:
    pairs, block_days = OFFERED[0]
    return trial_power(pairs, block_days, phi=phi, rated=1 - MISSING)
