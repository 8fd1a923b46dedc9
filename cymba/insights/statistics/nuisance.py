"""What an outcome does by itself: its trend, its slow waves, its week and a logged cycle."""

import numpy as np

from cymba.insights.statistics.arrays import Floats, Integers

WEEKDAY_PAIRS = 56  # fewer cannot carry six dummies: weekend alone then
DAYS_A_COSINE = 45


class Calendar:
    """The columns that depend on the days alone, kept for every span of days met.

    cycle: (K, D) further columns by day, as of a logged cycle.
    """

    def __init__(self, weekdays: Integers, cycle: Floats | None = None) -> None:
        self._dummies = (weekdays[:, None] == np.arange(1, 7)).astype(np.float64)
        self._weekend = (weekdays >= 5).astype(np.float64)[:, None]
        self._cycle = np.empty((weekdays.size, 0)) if cycle is None else cycle.T
        self._spans: dict[tuple[int, int, bool], Floats] = {}

    def nuisance(self, days: Integers, before: Floats, hours: Floats | None = None) -> Floats:
        """(N, K) constant, trend, slow cosines, weekday and cycle for these ascending days, then
        the outcome's `hours` where they vary, and last the rating before."""
        first, last, fine = int(days[0]), int(days[-1]), days.size >= WEEKDAY_PAIRS
        if (first, last, fine) not in self._spans:
            self._spans[first, last, fine] = self._span(first, last, fine=fine)
        shared = self._spans[first, last, fine]
        vary = hours is not None and hours.min() < hours.max()
        columns = np.empty((days.size, shared.shape[1] + 1 + vary))
        columns[:, : shared.shape[1]] = shared[days - first]
        if vary:
            columns[:, -2] = hours
        columns[:, -1] = before
        return columns

    def _span(self, first: int, last: int, *, fine: bool) -> Floats:
        length = last - first + 1
        elapsed = np.arange(length) + 0.5
        # k = 1 is nearly the linear trend, so the cosines start at 2.
        orders = np.arange(2, 2 + length // DAYS_A_COSINE)
        weekday = self._dummies if fine else self._weekend
        return np.column_stack(
            [
                np.ones(length),
                elapsed / length - 0.5,
                np.cos(np.pi * np.outer(elapsed, orders) / length),
                weekday[first : last + 1],
                self._cycle[first : last + 1],
            ]
        )
