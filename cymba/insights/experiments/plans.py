"""The plan of a trial, its coin, and the seal that lets anyone check both afterwards.

The coin is drawn before the start and sealed: `seal` = SHA-256 of the seed followed by the plan as
canonical JSON. It is published at once, the seed only at the end. Whoever holds the seal can then
check that neither the plan nor the order of the blocks was chosen in view of the data.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cymba.errors import NotFound
from cymba.insights.exposures import DAY_STARTS_HOUR
from cymba.insights.tables import Experiment

SEED_BYTES = 32

Arm = Literal["full", "comparison"]


@dataclass(frozen=True, slots=True)
class Block:
    """Whole local days, the last one included; `number` counts from 0, `pair` too. Without the
    trial's seed (empty bytes) the arm is not known."""

    number: int
    pair: int
    arm: Arm | None
    first_day: date
    last_day: date

    def begins_at(self, zone: ZoneInfo) -> datetime:
        return datetime.combine(self.first_day, time(DAY_STARTS_HOUR), tzinfo=zone)

    def ends_at(self, zone: ZoneInfo) -> datetime:
        after = self.last_day + timedelta(days=1)
        return datetime.combine(after, time(DAY_STARTS_HOUR), tzinfo=zone)


def new_seed() -> bytes:
    return secrets.token_bytes(SEED_BYTES)


def canonical(plan: dict[str, Any]) -> bytes:
    """The plan's bytes for the seal: JSON with sorted names and no spaces, in UTF-8."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def seal(seed: bytes, plan: dict[str, Any]) -> str:
    return hashlib.sha256(seed + canonical(plan)).hexdigest()


def full_comes_first(seed: bytes, pair: int) -> bool:
    """The coin of one pair: the lowest bit of HMAC-SHA256(seed, "pair <number>")."""
    return hmac.digest(seed, f"pair {pair}".encode(), "sha256")[-1] & 1 == 1


def blocks(seed: bytes, *, pairs: int, block_days: int, first_day: date) -> list[Block]:
    """The trial's blocks in order: each pair has one of either arm, by its coin."""
    made = []
    for number in range(2 * pairs):
        pair, second = divmod(number, 2)
        begins = first_day + timedelta(days=number * block_days)
        arm: Arm | None = None
        if seed:
            arm = "full" if full_comes_first(seed, pair) != bool(second) else "comparison"
        made.append(Block(number, pair, arm, begins, begins + timedelta(days=block_days - 1)))
    return made


def all_blocks(experiment: Experiment) -> list[Block]:
    """Every block with its arm, which must not be shown before its time."""
    return blocks(
        experiment.seed,
        pairs=experiment.pairs,
        block_days=experiment.block_days,
        first_day=experiment.first_day,
    )


def block_of(experiment: Experiment, number: int) -> Block:
    """One block, or `NotFound`."""
    made = all_blocks(experiment)
    if not 0 <= number < len(made):
        raise NotFound("The trial has no such block.")
    return made[number]
