"""A menstrual cycle as two regressors, from the first days that the person logged."""

from collections.abc import Sequence

import numpy as np

from cymba.insights.statistics.arrays import Floats

USUAL_DAYS = 28
SHORTEST_DAYS, LONGEST_DAYS = 15, 60  # between two logged first days that are one cycle apart


def cycle_terms(first_days: Sequence[int], days: int) -> Floats:
    """(2, days) cosine and sine of where in their cycle each day is; (0, days) if none was logged.

    first_days : of the cycles, as numbers of days; may lie before 0

    A cycle is taken to be as long as the median of those complete by its first day (28 days where
    there is none), so that logging the next one changes no day before it. Before the first logged
    one it is carried back.
    """
    starts = np.unique(np.asarray(first_days, dtype=np.int64))
    starts = starts[starts < days]
    if not starts.size:
        return np.empty((0, days))
    gaps = np.diff(starts)
    whole = (gaps >= SHORTEST_DAYS) & (gaps <= LONGEST_DAYS)
    lengths = [
        float(np.median(gaps[:so_far][whole[:so_far]])) if whole[:so_far].any() else USUAL_DAYS
        for so_far in range(starts.size)
    ]
    day = np.arange(days)
    cycle = np.maximum(np.searchsorted(starts, day, side="right") - 1, 0)
    phase = 2 * np.pi * (day - starts[cycle]) / np.array(lengths)[cycle]
    return np.stack([np.cos(phase), np.sin(phase)])
