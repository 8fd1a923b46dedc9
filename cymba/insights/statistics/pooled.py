"""The evening after a day's stimulation and the morning after it as one rating.

Two ratings of one night's pain are more certain than one. It takes the difference that stimulation
goes with to be the same that evening and the next morning.
"""

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import Floats, readings, same_days


def pooled_ratings(evenings: ArrayLike, mornings: ArrayLike) -> tuple[Floats, Floats]:
    """(O, D) ratings and hours, as `looks` takes them at lag 1; both arguments (O, D).

    On day t the mean of the evening of t - 1 and the morning of t, or the one there is. Evenings
    and mornings differ by themselves: `hours` is 1 where only the evening was rated and -1 where
    only the morning was, so that as a regressor it gives each its own mean.
    """
    evening, morning = readings("evenings", evenings, 2), readings("mornings", mornings, 2)
    same_days(evenings=evening, mornings=morning)
    last_evening = np.full(evening.shape, np.nan)
    last_evening[:, 1:] = evening[:, :-1]
    rated_evening, rated_morning = np.isfinite(last_evening), np.isfinite(morning)
    one = np.where(rated_morning, morning, last_evening)
    ratings = np.where(rated_evening & rated_morning, (last_evening + morning) / 2, one)
    return ratings, rated_evening.astype(np.float64) - rated_morning
