"""One pair of exposure and outcome: its complete days, and its regression row by row."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import Booleans, Floats, Integers, readings, weekday_numbers
from cymba.insights.statistics.nuisance import Calendar
from cymba.insights.statistics.regression import partial_slopes

MIN_PAIRS = 20


@dataclass(frozen=True)
class PairInFull:
    """One pair's regression row by row, for a scatter, residual checks and the table behind it.

    days                 : (N,) index of the outcome's day
    exposure, outcome    : (N,) as measured
    partial_x, partial_y : (N,) after all else; their slope through 0 is the effect
    residuals, leverage  : (N,)
    residual_correlation : of residuals on successive days; NaN below three such pairs
    """

    days: Integers
    exposure: Floats
    outcome: Floats
    partial_x: Floats
    partial_y: Floats
    residuals: Floats
    leverage: Floats
    residual_correlation: float


def pair_in_full(
    exposure: ArrayLike,
    outcome: ArrayLike,
    before: ArrayLike,
    weekdays: ArrayLike,
    lag: int,
    *,
    hours: ArrayLike | None = None,
    cycle: ArrayLike | None = None,
) -> PairInFull:
    """The rows behind one estimate of `associate`; all arguments (D,), `cycle` (K, D).

    Raises ValueError below the pairs at which `associate` estimates.
    """
    x = readings("exposure", exposure)
    y = readings("outcome", outcome)
    b = readings("before", before)
    rows = np.flatnonzero(complete_pairs(x[None], y[None], b[None], lag)[0, 0])
    if rows.size < MIN_PAIRS:
        raise ValueError(f"{rows.size} complete pairs, {MIN_PAIRS} needed")
    calendar = Calendar(
        weekday_numbers(weekdays), None if cycle is None else readings("cycle", cycle, 2)
    )
    nuisance = calendar.nuisance(
        rows, b[rows - lag], None if hours is None else readings("hours", hours)[rows]
    )
    slopes = partial_slopes(nuisance, y[rows], x[None, rows - lag], x[None, rows - lag - 1])
    residuals = slopes.residuals[0]
    successive = np.flatnonzero(np.diff(rows) == 1)
    return PairInFull(
        days=rows,
        exposure=x[rows - lag],
        outcome=y[rows],
        partial_x=slopes.partial_x[0],
        partial_y=slopes.partial_y[0],
        residuals=residuals,
        leverage=slopes.leverage[0],
        residual_correlation=(
            float(np.corrcoef(residuals[successive], residuals[successive + 1])[0, 1])
            if successive.size >= 3
            else float("nan")
        ),
    )


def complete_pairs(exposures: Floats, outcomes: Floats, before: Floats, lag: int) -> Booleans:
    """(O, E, D): the days whose outcome has all that its regression at this lag needs."""
    complete: Booleans = np.zeros((outcomes.shape[0], *exposures.shape), dtype=np.bool_)
    days = exposures.shape[1]
    if lag + 1 < days:
        present = np.isfinite(exposures)
        exposed = present[:, 1 : days - lag] & present[:, : days - lag - 1]
        rated = np.isfinite(outcomes[:, lag + 1 :]) & np.isfinite(before[:, 1 : days - lag])
        complete[:, :, lag + 1 :] = exposed[None] & rated[:, None]
    return complete
