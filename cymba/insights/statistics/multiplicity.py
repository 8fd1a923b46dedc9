"""Many questions at once: the false discovery rate."""

import numpy as np
from numpy.typing import ArrayLike

from cymba.insights.statistics.arrays import Booleans, Floats, readings

PRIMARY_LEVEL = 0.10
EXPLORATORY_LEVEL = 0.05


def adjust_bh(p: ArrayLike) -> Floats:
    """Benjamini & Hochberg's (1995) adjusted p values of p (M,).

    A NaN (a refused test) stays NaN and is not counted among the M. Raises ValueError for a value
    outside 0 to 1.
    """
    values = _probabilities(p)
    adjusted = np.full(values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    stepped = values[order] * tested.size / np.arange(1, tested.size + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(stepped[::-1])[::-1], 1.0)
    return adjusted


def simes(p: ArrayLike) -> float:
    """Simes' (1986) p for there being nothing in any of p (M,); NaN if none was tested."""
    values = _probabilities(p)
    tested = np.sort(values[np.isfinite(values)])
    if not tested.size:
        return float("nan")
    return float((tested * tested.size / np.arange(1, tested.size + 1)).min())


def exploratory_discoveries(p: ArrayLike, level: float = EXPLORATORY_LEVEL) -> Booleans:
    """Which of p (families, members) are discoveries: Simes per family, then Benjamini-Hochberg.

    A family is an outcome. Within the R families found among M tested, Benjamini-Hochberg runs at
    level x R / M, which keeps the expected share of false ones over the families that were selected
    (Benjamini & Bogomolov 2014).
    """
    families = readings("p", p, 2)
    found = adjust_bh([simes(family) for family in families]) <= level
    tested = np.isfinite(families).any(axis=1).sum()
    within = level * found.sum() / max(int(tested), 1)
    return np.array(
        [
            (adjust_bh(family) <= within) & chosen
            for family, chosen in zip(families, found, strict=True)
        ],
        dtype=np.bool_,
    ).reshape(families.shape)


def _probabilities(p: ArrayLike) -> Floats:
    values = readings("p", p)
    if ((values < 0) | (values > 1)).any():
        raise ValueError("p has values that are no probabilities")
    return values
