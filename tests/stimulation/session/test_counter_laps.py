"""A session in whose time a counter of 32 bits begins anew keeps its length and its day."""

import json
from datetime import timedelta
from typing import Any

import pytest

from cymba.devices.clocks import Anchor, DeviceClocks, to_ms
from cymba.devices.counter_laps import LAP_MS
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.wire.frames import Unreadable, decode
from cymba.stimulation.wire.messages import SamplesFrame
from tests.stimulation.conftest import BOOTED_AT, Tape

LAP = int(LAP_MS)


@pytest.mark.parametrize("laps_after_s", [2, 4, 7, 11])
def test_twelve_seconds_stay_twelve_seconds(tape: Any, laps_after_s: int) -> None:
    session: Tape = tape(up=LAP - laps_after_s * 1_000)
    session.start().samples(amplitude_ua=[1_000] * 4)
    session.up %= LAP
    session.event("beep").samples(amplitude_ua=[1_000] * 4)
    session.up %= LAP
    session.samples(amplitude_ua=[1_000] * 4)
    session.up %= LAP
    session.end()
    began_at = BOOTED_AT + timedelta(milliseconds=LAP - laps_after_s * 1_000)
    clocks = DeviceClocks({(7, 1): [Anchor("exchange", 0, to_ms(BOOTED_AT), 20)]})
    found = summarise(session.read(began_at + timedelta(seconds=20)), clocks, silent=False)
    assert found.ended_at - found.started_at == timedelta(seconds=12)
    assert abs(found.started_at - began_at) <= timedelta(milliseconds=found.time_error_ms)
    assert found.stimulating_s == 12


def test_a_frame_that_is_sent_after_its_counter_began_anew_is_taken() -> None:
    head = {"v": 1, "store": 7, "seq": 1, "boot": 1, "sid": "6f0c6f0c-0000-4000-8000-000000000001"}
    sent = {"up": LAP - 500, "sent": 40, "dt": 1_000, "n": 1, "c": {"native_level": [1]}}
    whole = decode(to_json_of(head | sent | {"kind": "samples"}))
    assert isinstance(whole, SamplesFrame)
    early = decode(to_json_of(head | sent | {"up": 60_000, "sent": 40, "kind": "samples"}))
    assert isinstance(early, Unreadable)
    assert early.code == "impossible-value"


def to_json_of(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()


def test_two_boots_under_one_number_are_marked_and_their_error_reaches_to_the_arrival(
    tape: Any,
) -> None:
    session: Tape = tape(up=7_200_000).start().samples(amplitude_ua=[1_000] * 4)
    session.up = 2_000  # it restarted, and its boot counter did not rise
    session.samples(amplitude_ua=[1_000] * 4).end()
    clocks = DeviceClocks({(7, 1): [Anchor("exchange", 0, to_ms(BOOTED_AT), 20)]})
    came_at = BOOTED_AT + timedelta(hours=9)
    found = summarise(session.read(came_at), clocks, silent=False)
    assert found.doubts == ["clock_falls"]
    for true in (BOOTED_AT + timedelta(hours=2), came_at - timedelta(minutes=1)):
        assert abs(found.started_at - true) <= timedelta(milliseconds=found.time_error_ms)


def test_two_sessions_under_one_id_are_marked(tape: Any, clocks: DeviceClocks) -> None:
    session: Tape = tape().start().samples(amplitude_ua=[1_000] * 4).end()
    session.pass_time(60_000).start().samples(amplitude_ua=[1_000] * 4).end()
    assert summarise(session.read(), clocks, silent=False).doubts == ["starts_twice"]
