"""The coin, the seal, and the blocks they make: what anyone can check afterwards."""

import hashlib
import hmac
import itertools
import json
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cymba.insights.experiments import plans

SEEDS = st.binary(min_size=plans.SEED_BYTES, max_size=plans.SEED_BYTES)
DAY = date(2026, 3, 2)


@given(seed=SEEDS, pairs=st.integers(6, 40), block_days=st.integers(1, 14))
def test_every_pair_has_one_block_of_either_arm_and_no_day_is_left_out(
    seed: bytes, pairs: int, block_days: int
) -> None:
    made = plans.blocks(seed, pairs=pairs, block_days=block_days, first_day=DAY)
    assert [block.number for block in made] == list(range(2 * pairs))
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert first.pair == second.pair
        assert {first.arm, second.arm} == {"full", "comparison"}
    for block, following in itertools.pairwise(made):
        assert (block.last_day - block.first_day).days == block_days - 1
        assert following.first_day == block.last_day + timedelta(days=1)


@given(seed=SEEDS, other=SEEDS)
def test_the_seal_holds_the_seed_and_every_part_of_the_plan(seed: bytes, other: bytes) -> None:
    plan = {"outcome": "pain_now", "pairs": 14, "arms": {"full": {"note": "ü"}}}
    sealed = plans.seal(seed, plan)
    assert sealed == plans.seal(seed, json.loads(json.dumps(plan)))
    assert sealed != plans.seal(seed, plan | {"pairs": 15})
    assert (sealed == plans.seal(other, plan)) == (seed == other)


def test_the_seal_and_the_coin_can_be_checked_without_this_code() -> None:
    """As docs/experiments.md tells the reader to."""
    seed, plan = bytes(range(32)), {"pairs": 6, "block_days": 3}
    text = json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert plans.seal(seed, plan) == hashlib.sha256(seed + text.encode()).hexdigest()
    made = plans.blocks(seed, pairs=6, block_days=3, first_day=DAY)
    for pair in range(6):
        coin = hmac.new(seed, f"pair {pair}".encode(), "sha256").digest()[-1] & 1
        assert made[2 * pair].arm == ("full" if coin else "comparison")


def test_the_coin_is_fair() -> None:
    heads = sum(
        plans.full_comes_first(number.to_bytes(32, "big"), pair)
        for number in range(200)
        for pair in range(20)
    )
    assert 1850 < heads < 2150
