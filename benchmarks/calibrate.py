"""Measure how often the insights speak of noise, and miss what is there: docs/calibration.md.

    python -m benchmarks.calibrate [--jobs N] [--people 2000] [--only TEXT] [--write PATH]

Every row of the method's promise is measured on simulated people, its worst cell against the
bound. The same seeds give the same table on any number of processes. Exits with 1 if a row fails.
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
are in `simulator/people.py`, what is measured in `benchmarks/measures.py`. A row has a value for
each of its cells, and holds if all do; ± is the Monte-Carlo standard error.

| check | cell | bound | measured | ± | |
|---|---|---|---|---|---|"""
BESIDE = """
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
    lines += [f"| {what} | < {LIMIT_MS} ms | {speed} |", BESIDE]
    lines += [
        f"| {result.check.row} | {result.check.cell} | {result.value:.4f} | {result.error:.4f} |"
        for result in shown
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="processes")
@click.option("--people", default=PEOPLE, show_default=True, help="simulated people a cell")
@click.option("--only", default="", help="rows whose name or cell holds this text; writes nothing")
@click.option("--write", "path", default=TABLE, type=click.Path(path_type=Path))
def main(jobs: int, people: int, only: str, path: Path) -> None:
    """Measure every row and write the table; exit with 1 if one fails."""
    # One thread each: the matrices are small, and the processes share the cores.
    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    chosen = [check for check in (*CHECKS, *SHOWN) if only in f"{check.row} {check.cell}"]
    results = list(run(chosen, people, jobs))
    measured = [result for result in results if result.check in CHECKS]
    shown = [result for result in results if result.check in SHOWN]
    fast = milliseconds() < LIMIT_MS
    text = table(measured, shown, fast, people)
    click.echo(text)
    if not only:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    failed = [result for result in measured if not result.passed]
    for result in failed:
        click.echo(f"fails: {result.check.row}, {result.check.cell}: {result.value:.4f}", err=True)
    raise SystemExit(1 if failed or not fast else 0)


if __name__ == "__main__":
    main()
