"""Looking again as data arrive, without finding something sooner or later.

Findings move only at MILESTONES and are frozen between. The boundary is Pocock's (1977): the same
level at each of the ten looks. SEQUENTIAL_LEVELS holds, for an overall level, the level per look
at these ten sample sizes; between, both are linear in their logarithms.
"""

import math
from bisect import bisect_right
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import Booleans, Integers
from cymba.insights.statistics.associate import LOOK_ALPHA, Associations, estimate
from cymba.insights.statistics.series import Pairs, Series

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
_LOGS = [(math.log(look), math.log(overall)) for look, overall in SEQUENTIAL_LEVELS]
_LOG_LOOK = [look for look, _ in _LOGS]
_LOG_OVERALL = [overall for _, overall in _LOGS]


def milestone(n: int, milestones: Sequence[int] = MILESTONES) -> int | None:
    """The last milestone that n complete pairs have reached; None before the first."""
    return max((look for look in milestones if look <= n), default=None)


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
        overall = _between(p_now, _LOG_LOOK, _LOG_OVERALL)
    return overall if math.isnan(p_before) else min(p_before, overall)


def look_level(overall: float) -> float:
    """The level of one look that holds this level over all: where `sequential_p` gives it."""
    return _between(overall, _LOG_OVERALL, _LOG_LOOK)


def _between(p: float, known: Sequence[float], wanted: Sequence[float]) -> float:
    """Linear in the logarithms; beyond the table's ends as at them. NumPy's own `interp` takes ten
    times as long for one number, and there is one for each look of each pair."""
    at = math.log(p) if p > 0 else -math.inf
    after = min(max(bisect_right(known, at), 1), len(known) - 1)
    low, high = known[after - 1], known[after]
    share = min(max((at - low) / (high - low), 0.0), 1.0)
    return math.exp(wanted[after - 1] + share * (wanted[after] - wanted[after - 1]))


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
    *,
    hours: ArrayLike | None = None,
    cycle: ArrayLike | None = None,
    known: Container[tuple[int, ...]] = (),
) -> Iterator[Look]:
    """Every look that the data have reached, the first milestone first; arguments as `associate`.

    known: look, lag, outcome and exposure, by number, of what need not be estimated: it is reached,
    and its associations stay NaN.

    Each estimate uses the pair's first N complete pairs, N the milestone, so that what was shown
    at a milestone can be made again whenever later days have arrived.
    """
    series = Series.of(exposures, outcomes, before, weekdays, lags, hours=hours, cycle=cycle)
    complete = list(series.pairs())
    most = max((pairs.days.size for pairs in complete), default=0)
    numbers = MILESTONES[: bisect_right(MILESTONES, most)]
    end_days = np.full((len(numbers), *series.shape), -1, dtype=np.int64)
    wanted: list[list[Pairs]] = [[] for _ in numbers]
    for pairs in complete:
        members = pairs.exposures.members.tolist()
        for index, number in enumerate(numbers[: bisect_right(numbers, pairs.days.size)]):
            end_days[index, *pairs.place] = pairs.days[number - 1]
            place = (index, pairs.lag_index, pairs.outcome)
            unknown = [row for row, one in enumerate(members) if (*place, one) not in known]
            if unknown:
                firsts = pairs.exposures.only(unknown)
                wanted[index].append(replace(pairs, exposures=firsts, days=pairs.days[:number]))
    fits = estimate(series, wanted, 1 - LOOK_ALPHA)
    for index, (number, ends, fit) in enumerate(zip(numbers, end_days, fits, strict=True)):
        yield Look(index, number, ends >= 0, ends, fit)


def latest_look(
    exposures: ArrayLike,
    outcomes: ArrayLike,
    before: ArrayLike,
    weekdays: ArrayLike,
    lags: Sequence[int],
    *,
    hours: ArrayLike | None = None,
    cycle: ArrayLike | None = None,
) -> tuple[Associations, Integers]:
    """Each pair at its own last milestone, and that number of pairs (0 before the first).

    What is shown between milestones; arguments as `associate`.
    """
    series = Series.of(exposures, outcomes, before, weekdays, lags, hours=hours, cycle=cycle)
    firsts = [
        replace(pairs, days=pairs.days[: milestone(pairs.days.size) or 0])
        for pairs in series.pairs()
    ]
    (fits,) = estimate(series, [firsts], 1 - LOOK_ALPHA)
    return fits, fits.n
