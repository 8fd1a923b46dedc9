"""Arrays as the statistics take them: float64, NaN where a reading is missing."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


def readings(name: str, values: ArrayLike, dimensions: int = 1) -> Floats:
    """`values` as float64 with NaN for missing.

    Raises ValueError if it has another number of dimensions, or an infinite value: an infinity is
    a fault upstream, and treating it as missing would hide it.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != dimensions:
        raise ValueError(f"{name}: expected {dimensions} dimensions, got shape {array.shape}")
    if np.isinf(array).any():
        raise ValueError(f"{name}: has infinite values; missing is NaN")
    return array


def same_days(**arrays: Floats | Integers) -> int:
    """The common length of the last axis; ValueError, naming the lengths, if they differ."""
    lengths = {name: array.shape[-1] for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"unequal numbers of days: {lengths}")
    return int(next(iter(lengths.values())))


def weekday_numbers(weekdays: ArrayLike) -> Integers:
    """(D,) 0 Monday … 6 Sunday; ValueError for anything else."""
    numbers = readings("weekdays", weekdays)
    if not np.isin(numbers, np.arange(7)).all():
        raise ValueError("weekdays: expected whole numbers from 0 (Monday) to 6 (Sunday)")
    return numbers.astype(np.int64)
