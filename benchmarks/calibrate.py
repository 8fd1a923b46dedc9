"""Measure how often the insights speak of noise, and miss what is there: docs/calibration.md.

    python -m benchmarks.calibrate [--jobs N] [--people 2000] [--only TEXT]... [--write PATH]

Every row of the method's promise is measured on simulated people, its worst cell against the
bound. The same seeds give the same table on any number of processes. Exits with 1 if a row fails.
All of it takes over half an hour of one core: after a change, `--only` measures the rows that it
touches, and the others stay on the page as they are.
"""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

import click
import numpy as np

from benchmarks.bench_insights import LIMIT_MS, milliseconds
from benchmarks.checks import CHECKS, SHOWN, Check
from benchmarks.measures import Values

SEED = 20240229
PEOPLE = 2000
BLOCK = 250  # people that one process takes at once; part of the seed's path
TABLE = Path(__file__).parents[1] / "docs" / "calibration.md"

HEAD = """# Calibration

How often the insights speak of noise, and miss what is there: {people:,} simulated people a cell.
Made by `make calibrate`, which fails if a row does; the same seeds give the same table. The worlds
are in `simulator/people.py`, what is measured in `benchmarks/measures.py` and `primaries.py`. A row
has a value for each of its cells, and holds if all do; ± is the Monte-Carlo standard error.

"Told" is what a person is shown: a finding of grade `moderate` or `strong`, at any time of the year
unless a day is named. "Type I", "power" and "a false finding" are of the test behind it, p ≤ .05.

| check | cell | bound | measured | ± | |
|---|---|---|---|---|---|"""
BESIDE = """
**A bound that was lowered.** Of a difference of −0.5 points a session, .85 were to be told in a
year; {told:.2f} are. It cannot be had together with another bound, that at most .06 of those who
are too ill for a session are told of a difference that is not there. Both look the same to any
test: a small difference, surer with each milestone, until the interval leaves 0 out and yet lies
within one point to either side, the smallest difference that matters. As it is, both then hear that
the two go together only a little, and no direction. Of the same people, by the p over all looks
from which on such a difference were called `moderate`:

| p at most | told of −0.5 | told, too ill |
|---|---|---|
| never (as it is) | .793 | .0575 |
| .01 | .832 | .0585 |
| .015 | .842 | .0585 |
| .02 | .852 | .0615 |
| .025 | .859 | .0645 |
| any that passes its family's test | .867 | .0665 |

None has both. Counting those who hear of a small difference whose interval leaves 0 out,
{answered:.2f} have an answer. Of one in twenty it is found by chance that use follows pain
("flagged" in the table below), and from then on they are told of nothing.

## Beside it

How misleading the worlds are to the usual tool; where the method reaches its end; and what no
analysis can mend: pain that rises after the morning rating and brings the session forward, unless
the app asks right before the session. No bound is set here.

| what | cell | measured | ± |
|---|---|---|---|"""


@dataclass(frozen=True)
class Measured:
    """A check's value over its people, and its Monte-Carlo standard error."""

    check: Check
    value: float
    error: float

    @property
    def passed(self) -> bool:
        low, high = self.check.bounds
        return low <= self.value <= high


def simulate(simulation: str, block: int, people: int) -> Values:
    """One block of people; seeded by the simulation's name, so that new rows move no others."""
    seed = np.random.SeedSequence((SEED, crc32(simulation.encode()), block))
    measure = next(c.measure for c in (*CHECKS, *SHOWN) if c.simulation == simulation)
    return measure(np.random.default_rng(seed), people)


def run(checks: list[Check], people: int, jobs: int) -> Iterator[Measured]:
    simulations = sorted({check.simulation for check in checks})
    sizes = [min(BLOCK, people - start) for start in range(0, people, BLOCK)]
    values: dict[tuple[str, int], Values] = {}
    context = get_context("spawn")  # so that each process reads the thread limits set below
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        tasks = {
            pool.submit(simulate, simulation, block, size): (simulation, block)
            for simulation in simulations
            for block, size in enumerate(sizes)
        }
        with click.progressbar(
            as_completed(tasks), length=len(tasks), label="Calibrating", file=sys.stderr
        ) as done:
            for task in done:
                values[tasks[task]] = task.result()
    for check in checks:
        persons = np.concatenate(
            [values[check.simulation, block][check.value] for block in range(len(sizes))]
        )
        persons = persons[np.isfinite(persons)]
        error = float(persons.std(ddof=1) / np.sqrt(persons.size))
        mean = float(persons.mean())
        yield Measured(check, abs(mean) if check.absolute else mean, error)


def standing(path: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """Value and error of each row and cell, as the page has them."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    row = ""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        row = cells[0] or row
        numbers = {6: cells[3:5], 4: cells[2:4]}.get(len(cells), [])
        try:
            value, error = map(float, numbers)
        except ValueError:
            continue
        found[row, cells[1]] = value, error
    return found


def table(measured: list[Measured], shown: list[Measured], fast: bool, people: int) -> str:
    lines = [HEAD.format(people=people)]
    row = None
    for result in measured:
        check = result.check
        name = check.row if check.row != row else ""
        row = check.row
        verdict = "pass" if result.passed else "**FAIL**"
        lines.append(
            f"| {name} | {check.cell} | {check.bound} | {result.value:.4f} | {result.error:.4f}"
            f" | {verdict} |"
        )
    speed = f"under {LIMIT_MS} ms | | pass" if fast else f"over {LIMIT_MS} ms | | **FAIL**"
    what = "8 exposures x 12 outcomes x 4 lags | 365 days, one core"
    by_name = {
        result.check.value: result.value for result in measured if "-0.5" in result.check.cell
    }
    lines += [f"| {what} | < {LIMIT_MS} ms | {speed} |", BESIDE.format(**by_name)]
    lines += [
        f"| {result.check.row} | {result.check.cell} | {result.value:.4f} | {result.error:.4f} |"
        for result in shown
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="processes")
@click.option("--people", default=PEOPLE, show_default=True, help="simulated people a cell")
@click.option("--only", multiple=True, help="measure the rows whose name or cell holds this text")
@click.option("--write", "path", default=TABLE, type=click.Path(path_type=Path))
def main(jobs: int, people: int, only: tuple[str, ...], path: Path) -> None:
    """Measure the rows and write the table; exit with 1 if one fails.

    With fewer people than the page is of, nothing is written.
    """
    every = (*CHECKS, *SHOWN)
    chosen = [c for c in every if not only or any(text in f"{c.row} {c.cell}" for text in only)]
    results = {result.check: result for result in run(chosen, people, jobs)}
    for result in results.values():
        check = result.check
        click.echo(f"{check.row}, {check.cell}: {result.value:.4f} ± {result.error:.4f}")
    fast = milliseconds() < LIMIT_MS
    if people == PEOPLE:
        stand = standing(path)
        lacking = [c for c in every if c not in results and (c.row, c.cell) not in stand]
        if lacking:
            raise click.ClickException(f"never measured: {lacking[0].row}, {lacking[0].cell}")
        for check in every:
            if check not in results:
                results[check] = Measured(check, *stand[check.row, check.cell])
        measured, shown = [results[c] for c in CHECKS], [results[c] for c in SHOWN]
        path.parent.mkdir(exist_ok=True)
        path.write_text(table(measured, shown, fast, people), encoding="utf-8")
    failed = [r for check, r in results.items() if check in CHECKS and not r.passed]
    for result in failed:
        click.echo(f"fails: {result.check.row}, {result.check.cell}: {result.value:.4f}", err=True)
    raise SystemExit(1 if failed or not fast else 0)


if __name__ == "__main__":
    main()
