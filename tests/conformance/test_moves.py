"""A device that is told of other brokers: how that is told, and what its ways say."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conformance.moves import Moves
from conformance.trace import Ended, Entry, Expected, ToDevice
from cymba.devices.messages import Presence, Relocation
from cymba.stimulation.wire.messages import to_json
from tests.conformance.test_rules import TIMES, heard, judged, presence


def told(at_s: float, expected: Expected) -> ToDevice:
    named = Relocation(at=1, broker="mqtts://127.0.0.1:9")
    return ToDevice(at_s, "broker", to_json(named), expected)


GONE = heard(3, "up/presence", presence(online=False))
BACK = heard(20, "up/presence", presence(sent=17_000))


@pytest.mark.parametrize(
    ("trace", "outcome"),
    [
        ([told(2, "ignored"), Ended(30)], "unseen"),
        ([told(2, "ignored"), GONE, BACK, Ended(30)], "broken"),
        ([told(2, "followed"), GONE, BACK, Ended(30)], "kept"),
        ([told(2, "followed"), Ended(90)], "unseen"),  # it knows no such message
        ([told(2, "followed"), GONE, Ended(90)], "broken"),
        ([told(2, "followed"), GONE, Ended(30)], "unseen"),
        # Its connection was lost and it came back, before it was told of anything.
        ([GONE, BACK, told(25, "ignored"), told(30, "followed"), Ended(90)], "unseen"),
    ],
)
def test_a_device_goes_where_the_server_sends_it_and_comes_back(
    trace: list[Entry], outcome: str
) -> None:
    made = judged(heard(1, "up/presence", presence()), *trace)
    assert {one.rule: one.outcome for one in made.verdicts}["R44"] == outcome


def test_other_brokers_are_named_one_after_the_other() -> None:
    key = Ed25519PrivateKey.generate()
    online, offline = (
        Presence(online=is_online, store=9, boot=3, sent=100) for is_online in (True, False)
    )

    def steps(*said: Presence, after_s: float, key: Ed25519PrivateKey | None = key) -> list[str]:
        moves = Moves("device-0001", TIMES, key)
        made = [moves.next(0), moves.next(1), moves.next(3)]
        for one in said:
            moves.hear(one)
        made.append(moves.next(after_s))
        return [step[0] for step in made if step is not None] + ["over"] * moves.over

    assert steps(after_s=4, key=None) == ["ignored", "over"]
    assert steps(offline, online, after_s=4) == ["ignored", "followed", "over"]
    assert steps(offline, after_s=62) == ["ignored", "followed"]
    assert steps(offline, after_s=64) == ["ignored", "followed", "over"]
    assert steps(after_s=12) == ["ignored", "followed"]
    assert steps(after_s=14) == ["ignored", "followed", "over"]
