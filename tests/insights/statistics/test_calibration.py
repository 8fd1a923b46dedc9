"""The promise of the method, on fewer people than `make calibrate` takes, with fixed seeds.

Each bound allows for the number of people: three Monte-Carlo standard errors beyond it. A row that
fails here by chance would fail for everybody, since the seeds are fixed.
"""

import numpy as np
import pytest

from benchmarks.calibrate import simulate
from benchmarks.checks import CHECKS, SHOWN, Check

PEOPLE = 200


def value_and_error(check: Check, people: int) -> tuple[float, float]:
    values = simulate(check.simulation, 0, people)[check.value]
    values = values[np.isfinite(values)]
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.row}: {check.cell}")
def test_row(check: Check) -> None:
    mean, error = value_and_error(check, PEOPLE)
    measured = abs(mean) if check.absolute else mean
    low, high = check.bounds
    # A share that came out as 0 or 1 has no spread of its own: take that of the bound.
    bound = high if np.isfinite(high) else low
    error = max(error, np.sqrt(max(bound * (1 - bound), 0) / PEOPLE))
    assert low - 3 * error <= measured <= high + 3 * error


def test_the_worlds_mislead_the_usual_tool() -> None:
    """Else the rows above would prove nothing."""
    found = {
        check.cell: value_and_error(check, 100)[0]
        for check in SHOWN
        if check.row.startswith("Pearson")
    }
    assert found["full world"] > 0.35
    assert found["this morning's pain drives use"] > 0.85


def test_the_same_seeds_give_the_same_people() -> None:
    check = CHECKS[0]
    first, second = (simulate(check.simulation, 3, 5) for _ in range(2))
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert not np.array_equal(first["bias"], simulate(check.simulation, 4, 5)["bias"])
