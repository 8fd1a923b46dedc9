"""What a trial showed: the randomisation test over its plan, and where life departed from it.

The test goes by the plan, whatever was really done ("as randomised"): only so is it exact. What
was really done is shown beside it, from the sessions that the device uploaded; and where too little
was done as drawn, the trial was not carried out, and its numbers grade nothing.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, Self

import numpy as np

from cymba.insights.days import Days, local_day
from cymba.insights.experiments.plans import Block
from cymba.insights.exposures import SessionFact
from cymba.insights.pair_inputs import inputs_hash
from cymba.insights.statistics import Trial, randomization_test
from cymba.insights.statistics.trial import MIN_PAIRS

WASHOUT_DAYS = 1  # of each block, left out by the sensitivity analysis

LEAST_ADHERENCE = 0.8  # of the blocks, as drawn
LEAST_USE = 0.5  # of the days of a block that is to be stimulated in, with a session

DeviationCode = Literal[
    "not_agreed", "no_session", "not_uploaded", "stimulated_in_off_block", "above_limit"
]


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


def adherence(result: Mapping[str, Any], delivered_blocks: int, blocks: int) -> dict[str, Any]:
    """Whether the trial was carried out, for its result: enough blocks as drawn, and pairs with
    ratings under both programmes."""
    enough = blocks > 0 and delivered_blocks >= LEAST_ADHERENCE * blocks
    return {
        "blocks": blocks,
        "delivered_blocks": delivered_blocks,
        "carried_out": enough and result["pairs"] >= MIN_PAIRS,
    }


@dataclass(frozen=True, slots=True)
class Lived:
    """What was done on the days of a trial. `known`: nothing of the day can still come."""

    by_day: Mapping[date, Sequence[SessionFact]]
    known: Set[date]

    @classmethod
    def of(cls, sessions: Iterable[SessionFact], known: Iterable[date]) -> Self:
        by_day: dict[date, list[SessionFact]] = {}
        for fact in sessions:
            by_day.setdefault(local_day(fact.local_start), []).append(fact)
        return cls(by_day, frozenset(known))


def deviations(
    blocks: Sequence[Block],
    lived: Lived,
    *,
    agreed: Set[int],
    comparison_limit_ua: float,
    today: date,
) -> list[Deviation]:
    """Where the blocks that are over were not lived as planned, by the sessions uploaded so far."""
    found: list[Deviation] = []
    for block in blocks:
        if block.last_day >= today:
            break
        days = _days(block)
        if block.number not in agreed:
            found.append(Deviation(block.number, "not_agreed", len(days)))
        is_off = block.arm == "comparison" and comparison_limit_ua == 0
        without = [day for day in days if not lived.by_day.get(day)]
        if not is_off:
            _add(found, block, "no_session", sum(day in lived.known for day in without))
        _add(found, block, "not_uploaded", sum(day not in lived.known for day in without))
        if block.arm == "comparison":
            above = sum(_is_above(lived.by_day.get(day, ()), comparison_limit_ua) for day in days)
            _add(found, block, "stimulated_in_off_block" if is_off else "above_limit", above)
    return found


def delivered(blocks: Sequence[Block], lived: Lived, *, comparison_limit_ua: float) -> int:
    """How many of the blocks brought the dose that was drawn. What is not known was not as drawn.

    A full block: on at least half of its days a session above the comparison's current. One held
    down: a session on half of its days, and none above. One that is off: none at all.
    """
    return sum(_as_drawn(block, lived, comparison_limit_ua) for block in blocks)


def _as_drawn(block: Block, lived: Lived, limit_ua: float) -> bool:
    days = [lived.by_day.get(day, ()) for day in _days(block)]
    if block.arm == "full":
        return sum(_is_above(day, limit_ua) for day in days) >= LEAST_USE * len(days)
    if any(_is_above(day, limit_ua) for day in days):
        return False
    if limit_ua == 0:
        return all(day in lived.known for day in _days(block))
    return sum(any(_used(fact) for fact in day) for day in days) >= LEAST_USE * len(days)


def _is_above(day: Iterable[SessionFact], limit_ua: float) -> bool:
    """Whether there was a session above the limit. One that reports no current counts as above."""
    return any(
        _used(fact) and (fact.max_amplitude_ua is None or fact.max_amplitude_ua > limit_ua)
        for fact in day
    )


def _used(fact: SessionFact) -> bool:
    return bool(fact.stimulating_s)


def _days(block: Block) -> list[date]:
    return [
        block.first_day + timedelta(days=i)
        for i in range((block.last_day - block.first_day).days + 1)
    ]


def _add(found: list[Deviation], block: Block, code: DeviationCode, days: int) -> None:
    if days:
        found.append(Deviation(block.number, code, days))


def _shown(trial: Trial) -> dict[str, Any]:
    numbers = {name: getattr(trial, name) for name in ("effect", "low", "high", "p")}
    known = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {**known, "pairs": trial.pairs, "n": trial.n}
