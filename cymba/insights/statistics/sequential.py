"""Looking again as data arrive, without finding something sooner or later.

Findings move only at MILESTONES and are frozen between. The boundary is Pocock's (1977): the same
level at each of the ten looks. SEQUENTIAL_LEVELS holds, for an overall level, the level per look
at these ten sample sizes; between, both are linear in their logarithms.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import Booleans, Floats, Integers, readings
from cymba.insights.statistics.associate import LOOK_ALPHA, Associations, associate
from cymba.insights.statistics.pair import complete_pairs

MILESTONES = (28, 40, 56, 80, 112, 160, 224, 320, 448, 640)

# (level per look, level over all ten), ascending
SEQUENTIAL_LEVELS = (
    (0.000027, 0.0002),
    (0.000137, 0.001),
    (0.000717, 0.005),
    (0.00149, 0.01),
    (0.00314, 0.02),
    (0.00488, 0.03),
    (LOOK_ALPHA, 0.05),
    (0.0188, 0.10),
    (0.0423, 0.2),
    (0.0695, 0.3),
    (0.1359, 0.5),
    (1.0, 1.0),
)
_LOG_LOOK, _LOG_OVERALL = np.log(np.array(SEQUENTIAL_LEVELS)).T


def milestone(n: int) -> int | None:
    """The last milestone that n complete pairs have reached; None before the first."""
    return max((look for look in MILESTONES if look <= n), default=None)


def next_milestone(n: int) -> int | None:
    """The first milestone that n complete pairs have not reached; None after the last."""
    return min((look for look in MILESTONES if look > n), default=None)


def sequential_p(p_now: float, p_before: float = 1.0) -> float:
    """The p that holds over all ten looks.

    p_now    : the p at the milestone just reached; NaN if its regression was refused
    p_before : what this function returned at the milestone before, so that the result is the
               smallest so far

    Below the table's smallest level Bonferroni's ten times p bounds it.
    """
    for name, p in (("p_now", p_now), ("p_before", p_before)):
        if not (math.isnan(p) or 0 <= p <= 1):
            raise ValueError(f"{name} is not a probability: {p}")
    if math.isnan(p_now):
        return p_before
    smallest, smallest_overall = SEQUENTIAL_LEVELS[0]
    if p_now < smallest:
        overall = min(smallest_overall, len(MILESTONES) * p_now)
    else:
        overall = float(np.exp(np.interp(math.log(p_now), _LOG_LOOK, _LOG_OVERALL)))
    return overall if math.isnan(p_before) else min(p_before, overall)


_BY_PAIR = ("effect", "se", "df", "p", "n", "contrast", "low", "high", "refusal")


@dataclass(frozen=True)
class Look:
    """What the data said when each pair had reached its milestone number `index`.

    reached      : (L, O, E) whether the pair got there; elsewhere the associations are NaN, n is 0
    end_days     : (L, O, E) index of the day that completed it, -1 elsewhere
    associations : from the days up to then alone
    """

    index: int
    milestone: int
    reached: Booleans
    end_days: Integers
    associations: Associations


def looks(
    exposures: ArrayLike,
    outcomes: ArrayLike,
    before: ArrayLike,
    weekdays: ArrayLike,
    lags: Sequence[int],
) -> Iterator[Look]:
    """Every look that the data have reached, the first milestone first; arguments as `associate`.

    Each estimate uses the pair's first N complete pairs, N the milestone, so that what was shown
    at a milestone can be made again whenever later days have arrived.
    """
    series = _Series.of(exposures, outcomes, before, weekdays, lags)
    counts = series.pairs_so_far()
    for index, pairs in enumerate(MILESTONES):
        reached = counts[..., -1] >= pairs
        if not reached.any():
            return
        end_days = np.where(reached, (counts >= pairs).argmax(axis=-1), -1)
        yield Look(index, pairs, reached, end_days, series.up_to(end_days))


def latest_look(
    exposures: ArrayLike,
    outcomes: ArrayLike,
    before: ArrayLike,
    weekdays: ArrayLike,
    lags: Sequence[int],
) -> tuple[Associations, Integers]:
    """Each pair at its own last milestone, and that number of pairs (0 before the first).

    What is shown between milestones; arguments as `associate`.
    """
    series = _Series.of(exposures, outcomes, before, weekdays, lags)
    counts = series.pairs_so_far()
    steps = np.array((0, *MILESTONES))
    pairs = steps[np.searchsorted(steps, counts[..., -1], side="right") - 1]
    end_days = np.where(pairs > 0, (counts >= pairs[..., None]).argmax(axis=-1), -1)
    return series.up_to(end_days), pairs


@dataclass(frozen=True)
class _Series:
    exposures: Floats
    outcomes: Floats
    before: Floats
    weekdays: Integers
    lags: tuple[int, ...]

    @classmethod
    def of(
        cls,
        exposures: ArrayLike,
        outcomes: ArrayLike,
        before: ArrayLike,
        weekdays: ArrayLike,
        lags: Sequence[int],
    ) -> Self:
        return cls(
            readings("exposures", exposures, 2),
            readings("outcomes", outcomes, 2),
            readings("before", before, 2),
            np.asarray(weekdays, dtype=np.int64),
            tuple(lags),
        )

    def pairs_so_far(self) -> Integers:
        """(L, O, E, D) complete pairs up to and with each day."""
        complete = [
            complete_pairs(self.exposures, self.outcomes, self.before, lag) for lag in self.lags
        ]
        return np.cumsum(complete, axis=-1)

    def up_to(self, end_days: Integers) -> Associations:
        """Each pair from the days up to its own end; those that end together are fitted at once."""
        result = associate(
            self.exposures[:, :0],
            self.outcomes[:, :0],
            self.before[:, :0],
            self.weekdays[:0],
            self.lags,
        )
        for end in np.unique(end_days[end_days >= 0]):
            which = end_days == end
            rows, outcomes, exposures = (
                np.flatnonzero(which.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))
            )
            days = slice(0, int(end) + 1)
            part = associate(
                self.exposures[exposures, days],
                self.outcomes[outcomes, days],
                self.before[outcomes, days],
                self.weekdays[days],
                [self.lags[int(row)] for row in rows],
            )
            box = np.ix_(rows, outcomes, exposures)
            for name in _BY_PAIR:
                whole = getattr(result, name)
                whole[box] = np.where(which[box], getattr(part, name), whole[box])
            for half, of_part in zip(result.half_effects, part.half_effects, strict=True):
                half[box] = np.where(which[box], of_part, half[box])
        return result
