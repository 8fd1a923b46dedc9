"""Repeated measures correlation: within subjects, with one slope for all.

A description only. Over autocorrelated diaries its p is far too small (measured: a false finding
in 44 to 100 % of cohorts), so no finding rests on it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from cymba.insights.statistics.arrays import readings, same_days

LEVEL = 0.05


@dataclass(frozen=True)
class RepeatedMeasures:
    """r with its 95 % interval; p two-sided on df = measurements - subjects - 1."""

    r: float
    df: int
    p: float
    low: float
    high: float


def repeated_measures_correlation(
    subject: ArrayLike, x: ArrayLike, y: ArrayLike
) -> RepeatedMeasures:
    """Bland & Altman (1995), with Bakdash & Marusich's (2017) interval by Fisher's z; all (M,).

    Rows with a NaN are left out. NaN where df < 2 (the interval needs one more than the test), or
    x or y does not vary within any subject.
    """
    labels = np.asarray(subject)
    xs, ys = readings("x", x), readings("y", y)
    if labels.shape != xs.shape:
        raise ValueError(f"subject has shape {labels.shape}, x {xs.shape}")
    same_days(x=xs, y=ys)
    complete = np.isfinite(xs) & np.isfinite(ys)
    names, which = np.unique(labels[complete], return_inverse=True)
    counts = np.bincount(which)
    within = []
    for values in (xs[complete], ys[complete]):
        centred = values - (np.bincount(which, values) / counts)[which]
        within.append(centred)
    dx, dy = within
    df = int(complete.sum()) - names.size - 1
    scale = float(np.sqrt((dx @ dx) * (dy @ dy)))
    if df < 2 or scale == 0:
        nan = float("nan")
        return RepeatedMeasures(nan, df, nan, nan, nan)
    r = float(np.clip(dx @ dy / scale, -1, 1))
    with np.errstate(divide="ignore"):
        t = np.sqrt(df) * np.abs(r) / np.sqrt(1 - r * r)
        z = np.arctanh(r)
    # The normal quantile is the t quantile at infinite degrees of freedom.
    margin = stdtrit(np.inf, 1 - LEVEL / 2) / np.sqrt(df - 1)
    return RepeatedMeasures(
        r=r,
        df=df,
        p=float(2 * stdtr(df, -t)),
        low=float(np.tanh(z - margin)),
        high=float(np.tanh(z + margin)),
    )
