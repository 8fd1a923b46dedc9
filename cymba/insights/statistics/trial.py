"""A randomised trial of one's own: blocks with and without, in pairs, their order by a coin.

The coin is the only thing assumed. If treatment does nothing, every order of every pair would have
seen the same ratings, so the statistic under all orders is its own reference (Edgington & Onghena
2007): exact under any autocorrelation, trend or gap.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

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
from cymba.insights.statistics.regression import orthonormal

MIN_PAIRS = 6
ALL_ORDERS_UP_TO = 12  # pairs: 4,096 orders
DRAWS = 4095  # beyond that, besides the order that was
LEVEL = 0.05
WHITENING_PHI = 0.5
_DRAW_SEED = 0  # the same data give the same p
POWER_PEOPLE = 700  # a probability of .8 within .02
POWER_PERSON_DAYS = 60_000  # at most, for one plan: it bounds what a long one costs
POWER_DRAWS = 1023
POWER_DIFFERENCES = np.arange(0, 2.51, 0.1)  # in standard deviations of a rating


@dataclass(frozen=True)
class Trial:
    """effect: treated minus untreated days, in points of the outcome, with its 95 % interval.

    p is two-sided; NaN below 6 pairs with ratings under both. An interval may be unbounded.
    """

    effect: float
    low: float
    high: float
    p: float
    pairs: int
    n: int


@dataclass(frozen=True)
class _Design:
    """Whitened, and with trend and weekend taken out: one column per pair, and the outcomes."""

    columns: Floats  # (N, pairs)
    outcomes: Floats  # (N, K)


@dataclass(frozen=True)
class TrialPower:
    """The probability of finding each of `POWER_DIFFERENCES`."""

    found: Floats

    def of(self, difference: float, sd: float) -> float:
        """Of finding a difference, in points, where ratings have this standard deviation."""
        return float(np.interp(abs(difference) / sd, POWER_DIFFERENCES, self.found))

    def smallest_difference(self, sd: float, power: float = 0.8) -> float | None:
        """In points, that is found with this probability; None: none that is worth a trial."""
        enough = np.flatnonzero(self.found >= power)
        if enough.size == 0:
            return None
        last = max(int(enough[0]), 1)
        span = slice(last - 1, last + 1)
        return sd * float(np.interp(power, self.found[span], POWER_DIFFERENCES[span]))


def randomization_test(
    outcome: ArrayLike,
    treated: ArrayLike,
    pair: ArrayLike,
    weekdays: ArrayLike,
    *,
    washout_days: int = 0,
) -> Trial:
    """Test the difference between treated and untreated days; all arguments (D,).

    Parameters
    ----------
    outcome      : the rating that belongs to the day, NaN missing
    treated      : 1 or 0 by the plan; NaN on days outside the trial
    pair         : number of the pair of blocks; NaN or negative outside the trial
    weekdays     : 0 Monday … 6 Sunday
    washout_days : leave out so many first days of every block (a sensitivity analysis)
    """
    y, z = readings("outcome", outcome), readings("treated", treated)
    numbers, weekday = readings("pair", pair), weekday_numbers(weekdays)
    same_days(outcome=y, treated=z, pair=numbers, weekdays=weekday)
    if not np.isin(z[np.isfinite(z)], (0.0, 1.0)).all():
        raise ValueError("treated takes 0, 1 and NaN")

    planned = np.isfinite(z) & np.isfinite(numbers) & (numbers >= 0)
    used = planned & np.isfinite(y) & ~_first_days(z, numbers, washout_days)
    used &= _in_whole_pairs(z, numbers, used)
    n, pairs = int(used.sum()), np.unique(numbers[used]).size
    if pairs < MIN_PAIRS:
        nan = float("nan")
        return Trial(nan, nan, nan, nan, pairs, n)

    design = _design(used, z, numbers, y[:, None], weekday)
    effect, low, high, p = _test(design, _orders(pairs))
    return Trial(effect, low, high, p, pairs, n)


@lru_cache(maxsize=512)
def trial_power(
    pairs: int,
    block_days: int,
    *,
    phi: float,
    rated: float = 1.0,
    rated_again: float | None = None,
    used: float = 1.0,
    carry_over: float = 0.0,
) -> TrialPower:
    """Let people live such a trial and run the very test on it; the same seed every time.

    phi         : of a morning's rating with that of the morning before
    rated       : share of mornings that have a rating
    rated_again : of the mornings after one with a rating; None: they come independently
    used        : share of the days of full blocks that really have a session
    carry_over  : share of a session's effect that is left a day later

    Raises ValueError for fewer than 6 pairs, blocks of no days, or shares and a phi that are none.
    """
    again = rated if rated_again is None else rated_again
    shares = (rated, again, used, carry_over)
    if pairs < MIN_PAIRS or block_days < 1 or not 0 <= phi < 1:
        raise ValueError(f"no plan: {pairs} pairs of blocks of {block_days} days, phi {phi}")
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"no shares: {shares}")
    rng = np.random.default_rng(_DRAW_SEED)
    days = 2 * pairs * block_days
    people = min(POWER_PEOPLE, POWER_PERSON_DAYS // days)
    noise = _autoregression(rng, (people, days), phi)
    present = _with_gaps(rng, (people, days), rated, again)
    first = rng.integers(0, 2, (people, pairs))
    treated = np.repeat(np.stack([first, 1 - first], axis=2), block_days, axis=2)
    treated = treated.reshape(people, days).astype(np.float64)
    dose = treated * (rng.random(treated.shape) < used)
    dose[:, 1:] += carry_over * dose[:, :-1]
    starts = rng.integers(0, 7, people)
    pair = np.repeat(np.arange(pairs, dtype=np.float64), 2 * block_days)
    found = np.zeros((people, POWER_DIFFERENCES.size))
    for person in range(people):
        weekdays = (np.arange(days) + starts[person]) % 7
        used_days = present[person] & _in_whole_pairs(treated[person], pair, present[person])
        whole = np.unique(pair[used_days])
        if whole.size >= MIN_PAIRS:
            outcomes = np.column_stack([noise[person], dose[person]])
            design = _design(used_days, treated[person], pair, outcomes, weekdays)
            orders = rng.choice((1.0, -1.0), (1 + POWER_DRAWS, whole.size))
            orders[0] = 1
            found[person] = _finds(design, orders)
    return TrialPower(found.mean(axis=0))


def _finds(design: _Design, orders: Floats) -> Booleans:
    """Whether each of `POWER_DIFFERENCES` is found; the outcomes are the noise and the dose."""
    noise, dose = _coefficients(design, orders).T
    seen = np.abs(noise[:, None] + dose[:, None] * POWER_DIFFERENCES)
    return np.asarray((seen >= seen[0] * (1 - 1e-9)).mean(axis=0) <= LEVEL)


def _autoregression(rng: np.random.Generator, shape: tuple[int, int], phi: float) -> Floats:
    """(P, D) of standard deviation 1."""
    series = rng.standard_normal(shape)
    series[:, 1:] *= np.sqrt(1 - phi**2)
    for day in range(1, shape[1]):
        series[:, day] += phi * series[:, day - 1]
    return series


def _with_gaps(
    rng: np.random.Generator, shape: tuple[int, int], rated: float, again: float
) -> Booleans:
    """(P, D) of which mornings are rated: gaps come in stretches, as in the person's own diary."""
    drawn = rng.random(shape)
    after_gap = rated if rated == 1 else min(rated * (1 - again) / (1 - rated), 1.0)
    present = drawn < rated
    for day in range(1, shape[1]):
        likely = np.where(present[:, day - 1], again, after_gap)
        present[:, day] = drawn[:, day] < likely
    return present


def _test(design: _Design, orders: Floats) -> tuple[float, float, float, float]:
    """Effect, its interval by inverting the test, and p; the first order is the one that was.

    Under order s (signs over pairs) the coefficient is s'g / s'Hs with g = Z'y and H = Z'Z. Had the
    effect been d, the outcome without it would give a(s) - d b(s), b(s) = s'H1 / s'Hs. An order
    speaks for d where |a - d b| >= |effect - d|: for |b| < 1 between (effect - a) / (1 - b) and
    (effect + a) / (1 + b).
    """
    a = _coefficients(design, orders)[:, 0]
    b = _coefficients(_Design(design.columns, design.columns.sum(axis=1)[:, None]), orders)[:, 0]
    effect = float(a[0])
    tolerance = 1e-9 * (1 + abs(effect))
    p = float(np.mean(np.abs(a) >= abs(effect) - tolerance))

    bounded = np.abs(b) < 1 - 1e-9
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(effect - a) / (1 - b), (effect + a) / (1 + b)])
    lows = np.sort(np.where(bounded, ends.min(axis=0), -np.inf))
    highs = np.sort(np.where(bounded, ends.max(axis=0), np.inf))
    # d is kept while more than .05 of the orders speak for it.
    rank = int(LEVEL * orders.shape[0] + 1e-9)
    return effect, float(lows[rank]), float(highs[-1 - rank]), p


def _coefficients(design: _Design, orders: Floats) -> Floats:
    """(S, K) the treatment's coefficients for the outcomes, had each order been drawn."""
    gram = design.columns.T @ design.columns
    norms = ((orders @ gram) * orders).sum(axis=1)
    products = design.columns.T @ design.outcomes
    return np.asarray(orders @ products / norms[:, None])


@lru_cache(maxsize=64)
def _orders(pairs: int) -> Floats:
    """(S, pairs) of +1 and -1, the first row all +1: all there are, or a sample of them."""
    if pairs <= ALL_ORDERS_UP_TO:
        return np.array(list(product((1.0, -1.0), repeat=pairs)))
    coin = np.random.default_rng(_DRAW_SEED)
    draws = coin.integers(0, 2, size=(DRAWS, pairs)) * 2.0 - 1.0
    return np.vstack([np.ones(pairs), draws])


def _design(
    used: Booleans, treated: Floats, pair: Floats, outcomes: Floats, weekdays: Integers
) -> _Design:
    """outcomes (D, K); all else (D,)."""
    days = np.flatnonzero(used)
    labels = np.unique(pair[days])
    arms = np.where(pair[days][:, None] == labels, treated[days][:, None] - 0.5, 0.0)
    felt = outcomes[days]
    columns = _whitened(days, np.column_stack([arms, felt - felt.mean(axis=0)]))
    basis = orthonormal(_whitened(days, _nuisance(days, weekdays[days])))
    columns -= basis @ (basis.T @ columns)
    return _Design(columns[:, : labels.size], columns[:, labels.size :])


def _whitened(days: Integers, columns: Floats) -> Floats:
    """The columns (N, K) as a first-order process of φ = .5, seen on these days, becomes white."""
    carried = (WHITENING_PHI ** np.diff(days))[:, None]
    white = columns.copy()
    white[1:] = (columns[1:] - carried * columns[:-1]) / np.sqrt(1 - carried**2)
    return white


def _nuisance(days: Integers, weekdays: Integers) -> Floats:
    elapsed = (days - days[0]) / max(int(days[-1] - days[0]), 1) - 0.5
    return np.column_stack([np.ones(days.size), elapsed, (weekdays >= 5).astype(np.float64)])


def _first_days(treated: Floats, pair: Floats, washout_days: int) -> Booleans:
    """The first days of every block: where the treatment or the pair has just changed."""
    washout = np.zeros(treated.size, dtype=np.bool_)
    if washout_days > 0 and treated.size:
        changed = (treated[1:] != treated[:-1]) | (pair[1:] != pair[:-1])
        for start in np.flatnonzero(np.concatenate([[True], changed])):
            washout[start : start + washout_days] = True
    return washout


def _in_whole_pairs(treated: Floats, pair: Floats, used: Booleans) -> Booleans:
    """Days of pairs that have ratings both with and without treatment."""
    both = np.intersect1d(pair[used & (treated == 1)], pair[used & (treated == 0)])
    return np.isin(pair, both)
