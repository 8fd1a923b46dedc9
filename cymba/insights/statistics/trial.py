"""A randomised trial of one's own: blocks with and without, in pairs, their order by a coin.

The coin is the only thing assumed. If treatment does nothing, every order of every pair would have
seen the same ratings, so the statistic under all orders is its own reference (Edgington & Onghena
2007): exact under any autocorrelation, trend or gap.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

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
    """Whitened, and with trend and weekend taken out: one column per pair, and the outcome."""

    columns: Floats  # (N, pairs)
    outcome: Floats  # (N,)


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
    days = np.flatnonzero(used)
    labels = np.unique(numbers[days])
    if labels.size < MIN_PAIRS:
        nan = float("nan")
        return Trial(nan, nan, nan, nan, labels.size, days.size)

    arms = np.where(numbers[days][:, None] == labels, z[days][:, None] - 0.5, 0.0)
    design = _whitened(days, arms, y[days], weekday[days])
    effect, low, high, p = _test(design, _orders(labels.size))
    return Trial(effect, low, high, p, labels.size, days.size)


def smallest_difference(
    pairs: int, block_days: int, sd: float, phi: float, power: float = 0.8
) -> float:
    """The difference, in the outcome's points, that so many pairs find with this probability.

    From the standard error of the whitened coefficient over the orders that the coin may give, for
    ratings with this standard deviation and lag-1 autocorrelation; for planning, before the start.
    Raises ValueError for fewer than 6 pairs, blocks of no days, or what is no autocorrelation.
    """
    if pairs < MIN_PAIRS or block_days < 1 or not 0 <= phi < 1:
        raise ValueError(f"no plan: {pairs} pairs of blocks of {block_days} days, phi {phi}")
    days = np.arange(2 * pairs * block_days)
    block = days // block_days
    weekdays = days % 7
    correlation = phi ** np.abs(days[:, None] - days)
    arms = np.where(
        (block // 2)[:, None] == np.arange(pairs), np.where(block % 2, 0.5, -0.5)[:, None], 0.0
    )
    whitening = _whitening(days)
    basis = orthonormal(whitening @ _nuisance(days, weekdays))
    columns = whitening @ arms
    columns -= basis @ (basis.T @ columns)
    weights = whitening.T @ columns  # of the ratings, in each pair's share of the statistic
    covariance = weights.T @ correlation @ weights
    gram = columns.T @ columns
    orders = _orders(pairs)[:256]
    variances = np.einsum("si,ij,sj->s", orders, covariance, orders)
    variances /= np.einsum("si,ij,sj->s", orders, gram, orders) ** 2
    df = max(pairs - 1, 1)
    quantiles = float(stdtrit(df, 1 - LEVEL / 2) + stdtrit(df, power))
    return sd * quantiles * float(np.sqrt(variances.mean()))


def _test(design: _Design, orders: Floats) -> tuple[float, float, float, float]:
    """Effect, its interval by inverting the test, and p; the first order is the one that was.

    Under order s (signs over pairs) the coefficient is s'g / s'Hs with g = Z'y and H = Z'Z. Had the
    effect been d, the outcome without it would give a(s) - d b(s), b(s) = s'H1 / s'Hs. An order
    speaks for d where |a - d b| >= |effect - d|: for |b| < 1 between (effect - a) / (1 - b) and
    (effect + a) / (1 + b).
    """
    products = design.columns.T @ design.outcome
    gram = design.columns.T @ design.columns
    norms = np.einsum("si,ij,sj->s", orders, gram, orders)
    a = orders @ products / norms
    b = orders @ gram.sum(axis=1) / norms
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


def _orders(pairs: int) -> Floats:
    """(S, pairs) of +1 and -1, the first row all +1: all there are, or a sample of them."""
    if pairs <= ALL_ORDERS_UP_TO:
        return np.array(list(product((1.0, -1.0), repeat=pairs)))
    coin = np.random.default_rng(_DRAW_SEED)
    draws = coin.integers(0, 2, size=(DRAWS, pairs)) * 2.0 - 1.0
    return np.vstack([np.ones(pairs), draws])


def _whitened(days: Integers, arms: Floats, y: Floats, weekdays: Integers) -> _Design:
    whitening = _whitening(days)
    basis = orthonormal(whitening @ _nuisance(days, weekdays))
    columns = whitening @ np.column_stack([arms, y - y.mean()])
    columns -= basis @ (basis.T @ columns)
    return _Design(columns[:, :-1], columns[:, -1])


def _whitening(days: Integers) -> Floats:
    """(N, N) that makes a first-order process of φ = .5, seen on these days, white."""
    matrix = np.eye(days.size)
    carried = WHITENING_PHI ** np.diff(days)
    scale = 1 / np.sqrt(1 - carried**2)
    rows = np.arange(1, days.size)
    matrix[rows, rows] = scale
    matrix[rows, rows - 1] = -carried * scale
    return matrix


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
