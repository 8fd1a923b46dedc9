"""Reading costs in proportion to length, whatever the shape; and nothing is said twice."""

import gc
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.shapes import SHAPES, Shape
from cymba.stimulation.wire.frames import Unreadable, decode
from cymba.stimulation.wire.messages import (
    MAX_PAYLOAD_BYTES,
    Presence,
    ReportedState,
    TimeRequest,
    to_cbor,
    to_json,
)
from cymba.stimulation.wire.parsing import (
    UNREADABLE,
    FrameNumber,
    distinct,
    read_message,
    read_number,
    split_cbor,
)

MESSAGES = [
    Presence(online=True, store=7, boot=3, sent=1_000),
    TimeRequest(boot=3, u1=1_000),
    ReportedState(ver=3, applied=True),
]


def calls(read: Callable[[bytes], object], payload: bytes) -> int:
    """How many functions, of Python or C, reading calls. What a garbage collection calls in the
    middle of it is not its own."""
    count = 0

    def tally(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    gc.disable()
    sys.setprofile(tally)
    try:
        read(payload)
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


class Name(str):
    """Counts how often names are compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        Name.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def comparisons(names: list[str]) -> int:
    Name.compared = 0
    with suppress(ValueError):
        distinct([(Name(name), None) for name in names])
    return Name.compared


@pytest.mark.parametrize("twice", ["none", "first", "last", "all"])
def test_names_are_compared_in_proportion_to_their_number(twice: str) -> None:
    def names(count: int) -> list[str]:
        different = [f"name-{number}" for number in range(count)]
        again = {"none": [], "first": different[:1], "last": different[-1:], "all": different}
        return different + again[twice]

    few, many = comparisons(names(500)), comparisons(names(2_000))
    assert many <= 4 * few + 50


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("read", [decode, read_number])
def test_four_times_the_bytes_are_four_times_the_work(
    shape: Shape, read: Callable[[bytes], object]
) -> None:
    few, many = (calls(read, shape(size)) for size in (MAX_PAYLOAD_BYTES // 4, MAX_PAYLOAD_BYTES))
    assert many <= 4.5 * few + 50


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_over_the_limit_nothing_is_read(shape: Shape) -> None:
    for read in (decode, read_number):
        least, most = (
            calls(read, shape(size).ljust(size)) for size in (MAX_PAYLOAD_BYTES + 1, 60_000)
        )
        assert least == most < 50
    told = decode(shape(60_000).ljust(60_000))
    assert isinstance(told, Unreadable)
    assert (told.code, told.store, told.seq) == ("too-large", None, None)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_no_member_of_any_message_stands_there_twice(message: Any) -> None:
    type_ = type(message)
    assert read_message(to_json(message), type_) == message
    assert read_message(to_cbor(message), type_) == message
    members = {k: v for k, v in msgspec.to_builtins(message).items() if v is not None}
    for name, value in members.items():
        again = json.dumps({name: value})[1:-1].encode()
        with pytest.raises(ValueError, match=f"member '{name}' is repeated"):
            read_message(to_json(message)[:-1] + b"," + again + b"}", type_)
        whole = cbor2.dumps(members)
        twice = bytes([whole[0] + 1]) + whole[1:] + cbor2.dumps(name) + cbor2.dumps(value)
        with pytest.raises(cbor2.CBORError, match="Duplicate"):
            read_message(twice, type_)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_no_shape_is_another_message(shape: Shape, message: Any) -> None:
    with pytest.raises(UNREADABLE):
        read_message(shape(4_096), type(message))


@pytest.mark.parametrize("write", [json.dumps, cbor2.dumps])
def test_the_number_is_read_whatever_else_stands_there(write: Callable[[object], Any]) -> None:
    def number(members: dict[str, Any]) -> FrameNumber:
        written = write(members)
        return read_number(written if isinstance(written, bytes) else written.encode())

    assert number({"store": 7, "seq": 4, "x": [[[]]]}) == FrameNumber(7, 4)
    assert number({"store": 7}) == FrameNumber(7, None)
    assert number({"store": 7, "seq": "4"}) == number({"store": 2**32}) == FrameNumber()


@given(st.binary(max_size=300))
def test_a_number_is_read_or_not(payload: bytes) -> None:
    assert isinstance(read_number(payload), FrameNumber)


def test_a_sequence_is_split_as_far_as_it_can_be_read() -> None:
    one, two, torn = cbor2.dumps({"a": 1}), cbor2.dumps({"b": [2]}), b"\xa1\x61"
    assert split_cbor(one + two, 9) == [one, two]
    assert split_cbor(one + torn + two, 9) == [one, torn + two]
    assert split_cbor(one * 50, 9) == [one] * 9
    assert split_cbor(b"", 9) == []


def test_an_item_that_is_too_long_is_not_read_to_its_end() -> None:
    one, long = cbor2.dumps({"a": 1}), cbor2.dumps({"a": [0] * MAX_PAYLOAD_BYTES})
    assert split_cbor(one + long + one, 9) == [one, long + one]
    longest = cbor2.dumps({"a": b"x" * (MAX_PAYLOAD_BYTES - 6)})
    assert len(longest) == MAX_PAYLOAD_BYTES
    assert split_cbor(longest + one, 9) == [longest, one]
