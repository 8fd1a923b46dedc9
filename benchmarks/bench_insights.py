"""All pairs of one person, beside NumPy's own QR of the same matrices (the floor).

python -m benchmarks.bench_insights
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cymba.insights.statistics import associate, latest_look
from cymba.insights.statistics.arrays import Floats, Integers
from cymba.insights.statistics.nuisance import Calendar

EXPOSURES, OUTCOMES, LAGS = 8, 12, (0, 1, 2, 3)
LIMIT_MS = 50
REPEATS = 15


@dataclass(frozen=True)
class Year:
    """One person's days: exposures (E, D), outcomes and before (O, D), weekdays (D,)."""

    exposures: Floats
    outcomes: Floats
    before: Floats
    weekdays: Integers

    @classmethod
    def of(cls, days: int, missing: float = 0.3) -> "Year":
        rng = np.random.default_rng(days)
        outcomes, before = np.round(rng.normal(5, 1.5, (2, OUTCOMES, days)))
        for ratings in (outcomes, before):
            ratings[rng.random(ratings.shape) < missing] = np.nan
        exposures = rng.gamma(2.0, 1.0, (EXPOSURES, days)) * (rng.random(days) < 0.7)
        exposures[:, rng.random(days) < 0.03] = np.nan
        return cls(exposures, outcomes, before, np.arange(days) % 7)

    def matrices(self) -> list[Floats]:
        """The nuisance of every outcome and lag, on its complete rows."""
        calendar, days = Calendar(self.weekdays), self.weekdays.size
        exposed = ~np.isnan(self.exposures.sum(axis=0))
        found = []
        for lag in LAGS:
            for outcome, before in zip(self.outcomes, self.before, strict=True):
                then = np.arange(lag + 1, days)
                usable = np.isfinite(outcome[then]) & np.isfinite(before[then - lag])
                rows = then[usable & exposed[then - lag] & exposed[then - lag - 1]]
                found.append(calendar.nuisance(rows, before[rows - lag]))
        return found

    def all_pairs(self) -> None:
        associate(self.exposures, self.outcomes, self.before, self.weekdays, LAGS)

    def all_frozen(self) -> None:
        latest_look(self.exposures, self.outcomes, self.before, self.weekdays, LAGS)

    def one_outcome(self) -> None:
        associate(self.exposures, self.outcomes[:1], self.before[:1], self.weekdays, LAGS)


def best_ms(work: Callable[[], object]) -> float:
    """CPU time of the fastest of the repeats: what the work costs when nothing disturbs it."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times) * 1000


def milliseconds() -> float:
    """All pairs over 365 days on one core."""
    return best_ms(Year.of(365).all_pairs)


def main() -> None:
    print(f"{EXPOSURES} exposures x {OUTCOMES} outcomes x {len(LAGS)} lags, CPU time, best of")
    print(f"{REPEATS}; the floor is numpy.linalg.qr of the same nuisance matrices alone.\n")
    print("| days | what | ms | of the floor |\n|---|---|---|---|")
    for days in (365, 730):
        year = Year.of(days)
        matrices = year.matrices()
        floor = best_ms(lambda matrices=matrices: [np.linalg.qr(m) for m in matrices])  # type: ignore[misc]
        print(f"| {days} | floor: {len(matrices)} QRs | {floor:.1f} | 1.0 |")
        for name, work in (
            ("all pairs, all days", year.all_pairs),
            ("all pairs, each at its own milestone", year.all_frozen),
            ("one new entry: its outcome's pairs", year.one_outcome),
        ):
            taken = best_ms(work)
            print(f"| {days} | {name} | {taken:.1f} | {taken / floor:.1f} |")


if __name__ == "__main__":
    main()
