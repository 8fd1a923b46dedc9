"""What an outcome does by itself: its trend, its slow waves, its week and a logged cycle."""

import numpy as np
from numpy.polynomial.chebyshev import chebvander

from cymba.insights.statistics.arrays import Floats, Integers

WEEKDAY_PAIRS = 56  # fewer cannot carry six dummies: weekend alone then
DAYS_A_COSINE = 45


class Calendar:
    """The columns that depend on the days alone, kept for every span of days met.

    cycle: (K, D) further columns by day, as of a logged cycle.
    """

    def __init__(self, weekdays: Integers, cycle: Floats | None = None) -> None:
        self._dummies = (weekdays == np.arange(1, 7)[:, None]).astype(np.float64)
        self._weekend = (weekdays >= 5).astype(np.float64)[None]
        self._cycle = np.empty((0, weekdays.size)) if cycle is None else cycle
        self._spans: dict[tuple[int, int, bool], Floats] = {}

    def nuisance(self, days: Integers, before: Floats, hours: Floats | None = None) -> Floats:
        """(N, K) constant, trend, slow cosines, weekday and cycle for these ascending days, then
        the outcome's `hours` where they vary, and last the rating before."""
        first, last, fine = int(days[0]), int(days[-1]), days.size >= WEEKDAY_PAIRS
        if (first, last, fine) not in self._spans:
            self._spans[first, last, fine] = self._span(first, last, fine=fine)
        shared = self._spans[first, last, fine]
        vary = hours is not None and hours.min() < hours.max()
        rows = np.empty((shared.shape[0] + 1 + vary, days.size))
        np.take(shared, days - first, axis=1, out=rows[: shared.shape[0]], mode="clip")
        if vary:
            rows[-2] = hours
        rows[-1] = before
        return rows.T

    def _span(self, first: int, last: int, *, fine: bool) -> Floats:
        """The same as rows, for every day of the span."""
        length = last - first + 1
        elapsed = np.arange(length) + 0.5
        # Chebyshev's polynomials of cos θ are 1, cos θ, cos 2θ ... The place of cos θ is the
        # trend's, which it nearly is.
        waves = chebvander(np.cos(np.pi * elapsed / length), 1 + length // DAYS_A_COSINE).T
        waves[1] = elapsed / length - 0.5
        weekday = self._dummies if fine else self._weekend
        days = slice(first, last + 1)
        return np.concatenate([waves, weekday[:, days], self._cycle[:, days]])
