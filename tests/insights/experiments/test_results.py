"""Which blocks brought the dose that was drawn."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from cymba.insights.experiments.plans import Arm, Block
from cymba.insights.experiments.results import Lived, adherence, delivered
from cymba.insights.exposures import SessionFact

FIRST = date(2026, 3, 2)


def lived(currents: list[int | None], known: int = 4) -> Lived:
    """A session of so much current on each of the first days; None: no session."""
    sessions = []
    for number, ua in enumerate(currents):
        at = datetime.combine(FIRST + timedelta(days=number), time(19), tzinfo=UTC)
        if ua is not None:
            sessions.append(SessionFact(at, at, at, 900.0, max_amplitude_ua=ua))
    return Lived.of(sessions, [FIRST + timedelta(days=i) for i in range(known)])


@pytest.mark.parametrize(
    ("arm", "limit_ua", "currents", "known", "is_as_drawn"),
    [
        pytest.param("full", 0, [2000, 2000, None, None], 4, True, id="half of the days"),
        pytest.param("full", 0, [2000, None, None, None], 4, False, id="too few"),
        pytest.param("full", 0, [2000, 2000, None, None], 0, True, id="more may come"),
        pytest.param("full", 500, [400] * 4, 4, False, id="full, and no more than comparison"),
        pytest.param("comparison", 0, [None] * 4, 4, True, id="off"),
        pytest.param("comparison", 0, [None] * 4, 3, False, id="off, and one day not known"),
        pytest.param("comparison", 0, [None, 300, None, None], 4, False, id="used while off"),
        pytest.param("comparison", 500, [400, 400, None, None], 4, True, id="held down"),
        pytest.param("comparison", 500, [400, 400, 900, None], 4, False, id="above"),
        pytest.param("comparison", 500, [400, None, None, None], 4, False, id="hardly used"),
    ],
)
def test_a_block(
    arm: Arm, limit_ua: float, currents: list[int | None], known: int, is_as_drawn: bool
) -> None:
    block = Block(0, 0, arm, FIRST, FIRST + timedelta(days=3))
    found = delivered([block], lived(currents, known), comparison_limit_ua=limit_ua)
    assert found == is_as_drawn


@pytest.mark.parametrize(
    ("as_drawn", "blocks", "pairs", "is_carried_out"),
    [(16, 20, 10, True), (15, 20, 10, False), (12, 12, 5, False), (0, 0, 0, False)],
)
def test_four_of_five_blocks_and_six_pairs(
    as_drawn: int, blocks: int, pairs: int, is_carried_out: bool
) -> None:
    assert adherence({"pairs": pairs}, as_drawn, blocks)["carried_out"] == is_carried_out
