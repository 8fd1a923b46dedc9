"""What a trial showed: the randomisation test over its plan, and where life departed from it.

The test goes by the plan, whatever was really done ("as randomised"): only so is it exact. What
was really done is told beside it, from the sessions that the device uploaded.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

import numpy as np

from cymba.insights.analysis import inputs_hash
from cymba.insights.days import Days, local_day
from cymba.insights.experiments.plans import Block
from cymba.insights.exposures import SessionFact
from cymba.insights.statistics import Trial, randomization_test

WASHOUT_DAYS = 1  # of each block, left out by the sensitivity analysis

DeviationCode = Literal["not_agreed", "no_session", "stimulated_in_off_block", "above_limit"]


@dataclass(frozen=True, slots=True)
class Deviation:
    """Where a block was not lived as planned. `days` counts the block's days it concerns."""

    block: int
    code: DeviationCode
    days: int


def analyse_trial(
    days: Days, outcome_row: int, blocks: Sequence[Block], *, completed_pairs: int
) -> dict[str, Any]:
    """The result over the first `completed_pairs` pairs, as it is stored and shown.

    The rating that belongs to a day is the next morning's.
    """
    first, length = blocks[0].first_day, (blocks[-1].last_day - blocks[0].first_day).days + 1
    treated, pair = np.full(length, np.nan), np.full(length, np.nan)
    for block in blocks:
        if block.pair < completed_pairs:
            span = slice((block.first_day - first).days, (block.last_day - first).days + 1)
            treated[span], pair[span] = float(block.arm == "full"), block.pair
    mornings = {day: days.mornings[outcome_row, t] for t, day in enumerate(days.dates)}
    planned = [first + timedelta(days=i) for i in range(length)]
    felt = np.array([mornings.get(day + timedelta(days=1), np.nan) for day in planned])
    weekdays = np.array([day.weekday() for day in planned])
    main = randomization_test(felt, treated, pair, weekdays)
    without_first = randomization_test(felt, treated, pair, weekdays, washout_days=WASHOUT_DAYS)
    return {
        **_shown(main),
        "sensitivity": {"left_out_days": WASHOUT_DAYS, **_shown(without_first)},
        "completed_pairs": completed_pairs,
        "rated_days": int(np.isfinite(felt[np.isfinite(treated)]).sum()),
        "planned_days": int(np.isfinite(treated).sum()),
        "input_hash": inputs_hash(1, felt, treated, pair, weekdays),
    }


def deviations(
    blocks: Sequence[Block],
    sessions: Sequence[SessionFact],
    *,
    agreed: set[int],
    comparison_limit_ua: float,
    today: date,
) -> list[Deviation]:
    """Where the blocks that are over were not lived as planned, by the sessions uploaded so far."""
    by_day: dict[date, list[SessionFact]] = {}
    for fact in sessions:
        by_day.setdefault(local_day(fact.local_start), []).append(fact)
    found = []
    for block in blocks:
        if block.last_day >= today:
            break
        if block.number not in agreed:
            found.append(Deviation(block.number, "not_agreed", _length(block)))
        lived = [by_day.get(block.first_day + timedelta(days=i), []) for i in range(_length(block))]
        if block.arm == "full":
            _add(found, block, "no_session", sum(not day for day in lived))
        elif comparison_limit_ua == 0:
            used = sum(any(fact.stimulating_s > 0 for fact in day) for day in lived)
            _add(found, block, "stimulated_in_off_block", used)
        else:
            above = sum(
                any((fact.max_amplitude_ua or 0) > comparison_limit_ua for fact in day)
                for day in lived
            )
            _add(found, block, "above_limit", above)
            _add(found, block, "no_session", sum(not day for day in lived))
    return found


def _add(found: list[Deviation], block: Block, code: DeviationCode, days: int) -> None:
    if days:
        found.append(Deviation(block.number, code, days))


def _length(block: Block) -> int:
    return (block.last_day - block.first_day).days + 1


def _shown(trial: Trial) -> dict[str, Any]:
    numbers = {name: getattr(trial, name) for name in ("effect", "low", "high", "p")}
    known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**known, "pairs": trial.pairs, "n": trial.n}
