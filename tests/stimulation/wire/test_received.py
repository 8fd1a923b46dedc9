"""Both ways of reading a payload give the same frame, or the same reason why it is none."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.quotas import FrameCost
from cymba.stimulation.wire import received
from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.frames import Packed, Unreadable, decode, pack, row_of
from cymba.stimulation.wire.messages import Frame, SamplesFrame, to_cbor, to_json
from cymba.stimulation.wire.received import ReceivedFrame, receive

SID = "6f0c6f0c-0000-4000-8000-000000000001"
SAMPLES: dict[str, Any] = {
    "v": 1,
    "store": 7,
    "seq": 4211,
    "boot": 17,
    "sid": SID,
    "kind": "samples",
    "up": 60_000,
    "sent": 70_000,
    "dt": 1000,
    "n": 3,
    "c": {
        "amplitude_ua": [1500, None, 1510],
        "charge_uc": [5, 5, 9],
        "rr_ms": [831, 840, 900, 700],
    },
}


def as_before(payload: bytes) -> tuple[Frame, Packed] | Unreadable:
    frame = decode(payload)
    return frame if isinstance(frame, Unreadable) else (frame, pack(frame))


def same(payload: bytes) -> ReceivedFrame | Unreadable:
    """What is read of it, once it is found to be what the other way gives."""
    told, before = receive(payload), as_before(payload)
    if isinstance(before, Unreadable):
        assert told == before
        return told
    frame, packed = before
    assert isinstance(told, ReceivedFrame)
    assert Packed(told.row[0], told.body, told.digest) == packed
    assert told.row == row_of(packed.kind, frame, told.body)
    for name in ("store", "seq", "boot", "sid", "up", "sent", "utc"):
        assert getattr(told, name) == getattr(frame, name), name
    memory_bytes = 0
    if isinstance(frame, SamplesFrame):
        memory_bytes = 260 * frame.n + 26 * sum(map(len, frame.c.values()))
    size = max(len(payload), memory_bytes, 1_700)
    assert told.cost == FrameCost(1, max(len(payload), 500), size)
    return told


def is_quick(payload: bytes) -> bool:
    return received._receive_known(payload) is not None


def text(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("change", "quick"),
    [
        ({}, True),
        ({"utc": 1_772_352_000_000}, True),
        ({"c": {}}, True),
        ({"c": {name: [max(0, one.low)] * 3 for name, one in CHANNELS.items()}}, True),
        ({"c": {"rr_ms": [831] * 12}}, True),
        ({"c": {"rr_ms": [831] * 13}}, False),
        ({"c": {"rr_ms": [831] * 3, "impedance_ohm": [1, 2]}}, False),
        ({"c": {"impedance_ohm": [1, 2, 3, 4]}}, False),
        ({"c": {"charge_uc": [5, 4, 9]}}, False),
        ({"c": {"charge_uc": [5, None, 9]}}, False),
        ({"c": {"charge_uc": [5, None, 4]}}, False),
        ({"c": {"heart_rate_bpm": [301, 60, 60]}}, False),
        ({"c": {"pupil_um": [-4, 0, 9]}}, False),
        ({"sent": None}, False),
        ({"sent": 59_999}, False),
        ({"up": 2**53 - 1}, True),
        ({"kind": "event"}, False),
        ({"n": 241}, False),
        ({"v": 2}, False),
        ({"v": 1.0}, None),
        ({"c": {"amplitude_ua": [1500.0, 1.0, 2.0]}}, None),
        ({"seq": 2**64}, False),
    ],
)
def test_a_samples_frame(change: dict[str, Any], quick: bool | None) -> None:
    payload = text(SAMPLES | change)
    same(payload)
    if quick is not None:
        assert is_quick(payload) is quick


def test_each_bound_of_each_channel() -> None:
    for name, one in CHANNELS.items():
        for value in (one.low, one.high):
            payload = text(SAMPLES | {"c": {name: [value] * 3}})
            assert is_quick(payload), name
            same(payload)
        for value in (one.low - 1, one.high + 1):
            told = same(text(SAMPLES | {"c": {name: [value] * 3}}))
            assert isinstance(told, Unreadable), name
            assert told.code == "impossible-value"


@pytest.mark.parametrize(
    "member",
    [b'"seq":9', b'"c":{}', b'"sent":null', b'"utc":null', b'"\\u0073eq":9', b'"kind":"samples"'],
)
def test_a_member_that_stands_there_twice(member: bytes) -> None:
    told = same(text(SAMPLES)[:-1] + b"," + member + b"}")
    assert isinstance(told, Unreadable) == (member != b'"utc":null')


def test_a_column_that_stands_there_twice() -> None:
    payload = text(SAMPLES).replace(b'"c":{', b'"c":{"rr_ms":[800],')
    assert isinstance(same(payload), Unreadable)


names = st.sampled_from([*CHANNELS, "pupil_um", "Bad", "sent", "utc"])
numbers = st.integers(-(2**65), 2**65) | st.integers(0, 100)
odd = st.none() | st.booleans() | st.floats() | st.text(max_size=3) | numbers
members = st.fixed_dictionaries(
    {
        "v": st.just(1),
        "store": st.integers(0, 2**32 - 1),
        "seq": st.integers(1, 2**32 - 1),
        "boot": st.integers(0, 2**32 - 1),
        "sid": st.just(SID),
        "kind": st.just("samples"),
        "up": st.integers(0, 2**53 - 1),
        "dt": st.integers(1, 3_600_000),
        "n": st.integers(1, 4),
        "c": st.dictionaries(names, st.lists(st.none() | st.integers(0, 400), max_size=5)),
    },
    optional={"sent": st.integers(0, 2**53 - 1), "utc": st.integers(0, 2**53 - 1) | st.none()},
)


@settings(max_examples=150)
@given(members, st.dictionaries(st.sampled_from([*SAMPLES, "x"]), odd, max_size=2))
def test_any_members(good: dict[str, Any], change: dict[str, Any]) -> None:
    same(text(good))
    same(text(good | change))
    frame = decode(text(good))
    if not isinstance(frame, Unreadable):
        assert same(to_cbor(frame)) == same(to_json(frame))


@settings(max_examples=300)
@given(st.data())
def test_any_bytes(data: st.DataObject) -> None:
    """Good payloads of which some bytes are changed, left out, doubled or put in."""
    good = text(SAMPLES | {"utc": 1_772_352_000_000})
    payload = bytearray(data.draw(st.sampled_from([good, msgspec.json.format(good)])))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payload) - 1))
        end = at + data.draw(st.integers(0, 12))
        put = data.draw(
            st.binary(max_size=4)
            | st.sampled_from(
                [b"", b"null", b"1", b"-", b":", b",", b'"', b"]", b"[", b"e9", b".0"]
            )
            | st.just(bytes(payload[at:end]) * 2)
        )
        payload[at:end] = put
        same(bytes(payload))
        if not payload:
            break
