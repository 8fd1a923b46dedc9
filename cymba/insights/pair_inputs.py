"""What one pair's estimate is made from, and the hash that names it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cymba.insights.days import Days, Floats
from cymba.insights.statistics import PairInFull, complete_pairs, pair_in_full

METHOD_VERSION = "4"


@dataclass(frozen=True, slots=True)
class PairInputs:
    """exposed, felt, before, hours: (D,) by day; cycle: (K, D). `hours` and `cycle` where there are
    such."""

    lag: int
    exposed: Floats
    felt: Floats
    before: Floats
    weekdays: NDArray[np.int64]
    hours: Floats | None
    cycle: Floats | None
    table: Floats  # (D, K) all of it by day, one pattern of bits for what is missing

    @classmethod
    def of(cls, days: Days, exposure: int, outcome: int, lag: int, *, pooled: bool) -> Self:
        """Of these rows of `days`."""
        by_day, by_hour = days.felt(lag, pooled=pooled)
        exposed, felt, before = days.exposures[exposure], by_day[outcome], days.before[outcome]
        hours = None if by_hour is None else by_hour[outcome]
        rows = [
            exposed,
            felt,
            before,
            days.weekdays,
            *([] if hours is None else [hours]),
            *([] if days.cycle is None else days.cycle),
        ]
        table = np.stack(rows, axis=1)
        table[np.isnan(table)] = np.nan
        return cls(lag, exposed, felt, before, days.weekdays, hours, days.cycle, table)

    def complete(self) -> NDArray[np.int64]:
        """The outcome's days whose regression has all that it needs."""
        at_lag = complete_pairs(self.exposed[None], self.felt[None], self.before[None], self.lag)
        return np.flatnonzero(at_lag[0, 0])

    def hashes_until(self, ends: Iterable[int]) -> list[str]:
        """Of the days before each of these ascending ends: the same hash, the same estimate."""
        digest, hashes, start = hashlib.sha256(f"{METHOD_VERSION}/{self.lag}".encode()), [], 0
        for end in ends:
            digest.update(self.table[start:end].tobytes())
            hashes.append(digest.hexdigest())
            start = end
        return hashes

    def in_full_until(self, end: int) -> PairInFull:
        return pair_in_full(
            self.exposed[:end],
            self.felt[:end],
            self.before[:end],
            self.weekdays[:end],
            self.lag,
            hours=None if self.hours is None else self.hours[:end],
            cycle=None if self.cycle is None else self.cycle[:, :end],
        )


def inputs_hash(lag: int, *arrays: NDArray[Any]) -> str:
    """Of any arrays, by this method."""
    digest = hashlib.sha256(f"{METHOD_VERSION}/{lag}".encode())
    for array in arrays:
        # NaN has many bit patterns; one stands for "missing".
        canonical = np.where(np.isnan(array), np.nan, array) if array.dtype.kind == "f" else array
        digest.update(np.ascontiguousarray(canonical).tobytes())
    return digest.hexdigest()
