import pytest

from cymba.devices.clocks import Anchor
from cymba.devices.exchange import MAX_AGE_MS, Unusable, reply
from cymba.devices.messages import TimeReply, TimeRequest

NOW = 1_772_323_200_000


def test_a_first_request_is_answered_with_our_two_times() -> None:
    answer = reply(TimeRequest(boot=17, u1=5_000), NOW, NOW + 2)
    assert answer == TimeReply(boot=17, u1=5_000, t2=NOW, t3=NOW + 2)


def test_a_second_request_is_an_anchor_at_the_middle_of_both_round_trips() -> None:
    request = TimeRequest(boot=17, u1=5_000, t2=NOW, t3=NOW + 2, u4=5_102)
    anchor = reply(request, NOW + 100, NOW + 100)
    assert isinstance(anchor, Anchor)
    assert (anchor.kind, anchor.up_ms, anchor.wall_ms) == ("exchange", 5_051, NOW + 1)
    assert anchor.error_ms == pytest.approx(50 + 2, abs=0.02)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"u4": None}, "incomplete"),
        ({"t3": None}, "incomplete"),
        ({"u4": 4_000}, "order"),
        ({"t3": NOW - 1}, "order"),
        ({"t3": NOW + 1_000}, "order"),  # longer with us than under way in all
        ({"u4": 5_000 + 60_003}, "slow"),
        ({"t2": NOW + 300, "t3": NOW + 300}, "future"),
        ({"t2": NOW - MAX_AGE_MS, "t3": NOW - MAX_AGE_MS}, "stale"),
    ],
)
def test_a_second_request_that_cannot_be_is_told_apart(
    changed: dict[str, int | None], reason: str
) -> None:
    good = {"boot": 17, "u1": 5_000, "t2": NOW, "t3": NOW + 2, "u4": 5_102}
    request = TimeRequest(**{**good, **changed})  # type: ignore[arg-type]
    assert reply(request, NOW + 100, NOW + 100) == Unusable(reason)  # type: ignore[arg-type]
