"""A person's days as the regressions see them: which pairs of days are complete, at each lag."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import (
    Booleans,
    Floats,
    Integers,
    readings,
    same_days,
    weekday_numbers,
)
from cymba.insights.statistics.nuisance import Calendar


@dataclass(frozen=True)
class SameGaps:
    """Exposures that are missing on the same days: they share their rows, and so one QR.

    present: (D,) the days they have; members: (G,) their indices; by_day: (G, D) they themselves
    """

    present: Booleans
    members: Integers
    by_day: Floats

    def only(self, rows: list[int]) -> Self:
        """Those members at these places among them, which ascend."""
        if len(rows) == self.members.size:
            return self
        return type(self)(self.present, self.members[rows], self.by_day[rows])


@dataclass(frozen=True)
class Pairs:
    """The complete pairs of some exposures and an outcome; days (N,) are the outcome's."""

    lag_index: int
    lag: int
    outcome: int
    exposures: SameGaps
    days: Integers

    @property
    def place(self) -> tuple[int, int, Integers]:
        """Where their numbers belong in an array by lag, outcome and exposure."""
        return self.lag_index, self.outcome, self.exposures.members


@dataclass(frozen=True)
class Series:
    """exposures (E, D); outcomes, before, hours (O, D); weekdays (D,); lags in days."""

    exposures: Floats
    outcomes: Floats
    before: Floats
    hours: Floats | None
    weekdays: Integers
    lags: tuple[int, ...]
    calendar: Calendar

    @classmethod
    def of(
        cls,
        exposures: ArrayLike,
        outcomes: ArrayLike,
        before: ArrayLike,
        weekdays: ArrayLike,
        lags: Sequence[int],
        *,
        hours: ArrayLike | None = None,
        cycle: ArrayLike | None = None,
    ) -> Self:
        """Raises ValueError for shapes that do not fit, infinite values, odd weekdays or lags."""
        x = readings("exposures", exposures, 2)
        y = readings("outcomes", outcomes, 2)
        b = readings("before", before, 2)
        numbers = weekday_numbers(weekdays)
        same_days(exposures=x, outcomes=y, before=b, weekdays=numbers)
        if y.shape != b.shape:
            raise ValueError(f"before has shape {b.shape}, outcomes {y.shape}")
        if any(lag < 0 for lag in lags):
            raise ValueError(f"lags must not be negative: {list(lags)}")
        h = None if hours is None else readings("hours", hours, 2)
        c = None if cycle is None else readings("cycle", cycle, 2)
        return cls(x, y, b, h, numbers, tuple(lags), Calendar(numbers, c))

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.lags), self.outcomes.shape[0], self.exposures.shape[0]

    def nuisance(self, pairs: "Pairs") -> Floats:
        """(N, K) of these pairs' days; the rating before is its last column."""
        outcome, days = pairs.outcome, pairs.days
        return self.calendar.nuisance(
            days,
            self.before[outcome, days - pairs.lag],
            None if self.hours is None else self.hours[outcome, days],
        )

    def pairs(self) -> Iterator[Pairs]:
        """All complete pairs, for each lag, group of exposures and outcome."""
        groups = self._same_gaps()
        rated, rated_before = np.isfinite(self.outcomes), np.isfinite(self.before)
        days = self.weekdays.size
        for index, lag in enumerate(self.lags):
            if lag + 1 >= days:
                continue
            # Of each outcome's day from lag + 1 on: the exposure's day, the day before it
            now, past = slice(1, days - lag), slice(0, days - lag - 1)
            for group in groups:
                usable = rated[:, lag + 1 :] & rated_before[:, now]
                usable &= group.present[now] & group.present[past]
                for outcome, complete in enumerate(usable):
                    yield Pairs(index, lag, outcome, group, np.flatnonzero(complete) + lag + 1)

    def _same_gaps(self) -> list[SameGaps]:
        rows = np.isfinite(self.exposures)
        alike: defaultdict[bytes, list[int]] = defaultdict(list)
        for number, present in enumerate(rows):
            alike[present.tobytes()].append(number)
        return [
            SameGaps(
                rows[members[0]],
                np.array(members),
                self.exposures[members],
            )
            for members in alike.values()
        ]
