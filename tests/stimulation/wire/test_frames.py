"""Frames on the wire: what is read, what is refused and with which words, what is kept."""

import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.frames import KINDS, Unreadable, decode, pack, unpack
from cymba.stimulation.wire.messages import (
    END_REASONS,
    MAX_PAYLOAD_BYTES,
    MAX_SAMPLES,
    Frame,
    SamplesFrame,
    to_cbor,
    to_json,
)

SID = "6f0c6f0c-0000-4000-8000-000000000001"
HEAD: dict[str, Any] = {"v": 1, "store": 7, "seq": 4211, "boot": 17, "sid": SID, "up": 60_000}
PROGRAMME: dict[str, Any] = {
    "frequency_hz": 25,
    "pulse_width_us": 250,
    "amplitude_ua": 1500,
    "on_s": 30,
    "off_s": 30,
    "duration_s": 1800,
    "site": "cymba_conchae",
    "side": "left",
}
START = HEAD | {"kind": "start", "programme": PROGRAMME}
SAMPLES = HEAD | {
    "kind": "samples",
    "dt": 1000,
    "n": 3,
    "c": {"amplitude_ua": [1500, None, 1510], "rr_ms": [831, 840], "pupil_um": [-4, 0, 9]},
}
EVENT = HEAD | {"kind": "event", "event": {"name": "lead_off", "detail": {"ohm": 25_000}}}
END = HEAD | {"kind": "end", "reason": "completed", "first_seq": 4000, "last_seq": 4211}
KINDS_OF_FRAMES = [START, SAMPLES, EVENT, END]


def json_of(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()


def good(payload: bytes) -> Frame:
    frame = decode(payload)
    assert not isinstance(frame, Unreadable), frame.detail
    return frame


def bad(payload: bytes) -> Unreadable:
    read = decode(payload)
    assert isinstance(read, Unreadable)
    return read


@pytest.mark.parametrize("members", KINDS_OF_FRAMES, ids=lambda m: m["kind"])
def test_json_and_cbor_are_one_frame(members: dict[str, Any]) -> None:
    frame = good(json_of(members))
    assert good(cbor2.dumps(members)) == frame
    assert good(to_json(frame)) == frame
    assert good(to_cbor(frame)) == frame
    assert pack(good(cbor2.dumps(members))) == pack(frame)


@pytest.mark.parametrize("members", KINDS_OF_FRAMES, ids=lambda m: m["kind"])
def test_it_is_read_back_as_it_was_packed(members: dict[str, Any]) -> None:
    frame = good(json_of(members | {"sent": 70_000, "utc": 1_772_352_000_000}))
    packed = pack(frame)
    row = SimpleNamespace(
        store=frame.store,
        seq=frame.seq,
        boot=frame.boot,
        sid=frame.sid,
        kind=packed.kind,
        up_ms=frame.up,
        utc_ms=frame.utc,
        body=packed.body,
    )
    assert unpack(row) == msgspec.structs.replace(frame, sent=None)


def test_a_kind_that_nobody_wrote() -> None:
    with pytest.raises(ValueError, match="number 99"):
        unpack(
            SimpleNamespace(
                store=1, seq=1, boot=1, sid=UUID(SID), kind=99, up_ms=0, utc_ms=None, body=b""
            )
        )


def test_each_kind_has_a_number() -> None:
    numbers = [pack(good(json_of(members))).kind for members in KINDS_OF_FRAMES]
    assert numbers == [1, 2, 3, 4]
    assert sorted(KINDS.values()) == numbers


def test_the_digest_is_of_everything_but_sent() -> None:
    digest = pack(good(json_of(SAMPLES))).digest
    assert len(digest) == 16
    assert pack(good(json_of(SAMPLES | {"sent": 90_000}))).digest == digest
    changed = [
        {"store": 8},
        {"seq": 4212},
        {"boot": 18},
        {"sid": str(UUID(int=5))},
        {"up": 60_001},
        {"utc": 1},
        {"dt": 999},
        {"c": SAMPLES["c"] | {"rr_ms": [831]}},
        {"c": {"amplitude_ua": [1500, 0, 1510]}},
    ]
    digests = {pack(good(json_of(SAMPLES | change))).digest for change in changed}  # type: ignore[operator]
    assert len(digests | {digest}) == len(changed) + 1


def test_the_digest_stays_what_it_was() -> None:
    """Recordings hold digests for good: were this to change, every resend of an old frame would
    be taken for another one's."""
    assert [pack(good(json_of(members))).digest.hex() for members in KINDS_OF_FRAMES] == [
        "0e0bff01374b55126e3e2e731c5221f9",
        "783c90a8ba0ec89731038a6f135b32e4",
        "1c954e6059edf2ccece6e5eb8a4c5738",
        "73df305291f2a1813d3a4a6ae468ab1b",
    ]


def test_the_order_and_the_spelling_of_members_mean_nothing() -> None:
    turned = dict(reversed(SAMPLES.items())) | {"c": dict(reversed(SAMPLES["c"].items()))}
    assert pack(good(json_of(turned))) == pack(good(json_of(SAMPLES)))
    explicit = START | {"utc": None, "programme": PROGRAMME | {"native_level": None}}
    assert pack(good(json_of(explicit))) == pack(good(json_of(START)))
    whole = EVENT | {"event": {"name": "lead_off", "detail": {"ohm": 25_000.0}}}
    assert pack(good(json_of(whole))) == pack(good(json_of(EVENT)))


@pytest.mark.parametrize("members", KINDS_OF_FRAMES, ids=lambda m: m["kind"])
@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        ({"v": 2}, "unsupported-version", "v: 2 is not supported, only 1"),
        ({"v": 10**400}, "unsupported-version", "v: a number of many digits is not supported"),
        ({"v": True}, "schema", "v: "),
        ({"v": None}, "schema", "v: "),
        ({"boot": -1}, "schema", "boot: expected int >= 0"),
        ({"boot": 2**32}, "schema", "boot: expected int <= 4294967295"),
        ({"boot": 1.0}, "schema", "boot: expected int, got float"),
        ({"sid": "none"}, "schema", "sid: invalid UUID"),
        ({"up": -1}, "schema", "up: "),
        ({"up": 2**53}, "schema", "up: "),
        ({"colour": "red"}, "schema", "Object contains unknown field colour"),
        ({"sent": 59_999}, "impossible-value", "sent: 59999 is before up, 60000"),
    ],
)
def test_bounds_of_every_frame(
    members: dict[str, Any], change: dict[str, Any], code: str, detail: str
) -> None:
    payload = json_of(members | change)
    read = bad(payload)
    assert (read.code, read.store, read.seq) == (code, 7, 4211)
    assert read.detail.startswith(detail)
    if change.get("v") != 10**400:  # CBOR says such numbers by a tag
        again = bad(cbor2.dumps(members | change))
        assert (again.code, again.detail) == (read.code, read.detail)


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"kind": "sample"}, "kind: invalid value 'sample'"),
        ({"dt": 0}, "dt: expected int >= 1"),
        ({"n": 0}, "n: expected int >= 1"),
        ({"n": MAX_SAMPLES + 1}, "n: expected int <= 240"),
        ({"n": 4}, "c.amplitude_ua: 3 values, n is 4"),
        ({"c": {"rr_ms": [800] * 13}}, "c.rr_ms: 13 beats in 3 samples"),
        ({"c": {"heart_rate_bpm": [72, "x", 70]}}, "c.heart_rate_bpm[1]: expected int | null"),
        ({"c": {"heart_rate_bpm": [72, 71.5, 70]}}, "c.heart_rate_bpm[1]: expected int | null"),
        ({"c": {"heart_rate_bpm": 72}}, "c.heart_rate_bpm: expected array, got int"),
        ({"c": {"ok": [1, 2, 3], "Not-OK": [1, 2, 3]}}, "c: 'Not-OK' is not a channel name"),
        ({"c": {"line\n": [1, 2, 3]}}, "c: 'line\\n' is not a channel name"),
        ({"c": {"new": [1, 2, 2**53 + 1]}}, "c.new[2]: beyond ±2^53, the integers"),
        ({"c": {f"new_{i}": [1, 2, 3] for i in range(33)}}, "c: expected object of length <= 32"),
        ({"programme": PROGRAMME}, "Object contains unknown field programme"),
    ],
)
def test_bounds_of_samples(change: dict[str, Any], detail: str) -> None:
    read = bad(json_of(SAMPLES | change))
    assert read.code == "schema"
    assert read.detail.startswith(detail)
    again = bad(cbor2.dumps(SAMPLES | change))
    assert (again.code, again.detail) == (read.code, read.detail)


@pytest.mark.parametrize("channel", CHANNELS.values(), ids=lambda channel: channel.name)
def test_a_value_that_no_sensor_gives(channel: Any) -> None:
    for value, is_good in [
        (channel.low, True),
        (channel.high, True),
        (channel.low - 1, False),
        (channel.high + 1, False),
        (10**60, False),
    ]:
        for column in ([value], [value, None]):
            payload = json_of(SAMPLES | {"n": len(column), "c": {channel.name: column}})
            read = decode(payload)
            assert isinstance(read, SamplesFrame) is is_good
            if isinstance(read, Unreadable):
                assert read.code == "impossible-value"
                assert read.detail.startswith(f"c.{channel.name}[0]: ")
                assert read.detail.endswith(f"{channel.low}…{channel.high} {channel.unit}")


@pytest.mark.parametrize("name", [name for name, of in CHANNELS.items() if of.cumulative])
def test_what_only_grows_may_not_fall(name: str) -> None:
    good(json_of(SAMPLES | {"c": {name: [5, None, 5]}}))
    read = bad(json_of(SAMPLES | {"c": {name: [5, None, 4]}}))
    assert (read.code, read.detail) == ("impossible-value", f"c.{name}: falls from 5 to 4")


def test_columns_without_a_reading() -> None:
    good(json_of(SAMPLES | {"c": {"heart_rate_bpm": [None] * 3, "rr_ms": []}}))
    good(json_of(SAMPLES | {"c": {"rr_ms": [None], "utc": [1, 2, 3], "sent": [1, 2, 3]}}))
    good(json_of(SAMPLES | {"c": {}}))


@pytest.mark.parametrize(
    "change",
    [
        {"first_seq": 4212},
        {"first_seq": 2**32 - 1, "last_seq": 1},
    ],
)
def test_an_end_before_its_start(change: dict[str, Any]) -> None:
    assert bad(json_of(END | change)).code == "impossible-value"


@pytest.mark.parametrize("reason", END_REASONS)
def test_every_end_reason(reason: str) -> None:
    good(json_of(END | {"reason": reason}))


def test_another_end_reason() -> None:
    assert (
        bad(json_of(END | {"reason": "boredom"})).detail == "reason: invalid enum value 'boredom'"
    )


@pytest.mark.parametrize(
    "event",
    [
        {"name": "Lead off"},
        {"name": "lead_off\n"},
        {"name": "lead_off", "detail": {"text": "a\x00b"}},
        {"name": "lead_off", "detail": {"a\x00b": 1}},
        {"name": "lead_off", "detail": {"text": "x" * 201}},
        {"name": "lead_off", "detail": {"deep": {"deeper": 1}}},
        {"name": "lead_off", "detail": {str(i): 1 for i in range(33)}},
        {"name": "lead_off", "detail": {"big": 2**53 + 1}},
        {"name": "lead_off", "detail": {"not a number": float("nan")}},
        {"name": "lead_off", "detail": {"endless": float("inf")}},
    ],
)
def test_events_that_no_database_or_reader_could_hold(event: dict[str, Any]) -> None:
    assert bad(json_of(EVENT | {"event": event})).code == "schema"
    assert bad(cbor2.dumps(EVENT | {"event": event})).code == "schema"


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"", "an empty payload"),
        (b"[1]", "starts with byte 0x5b: neither a JSON object nor a CBOR map"),
        (b' {"v":1}', "starts with byte 0x20: "),
        (b"\xff", "starts with byte 0xff: "),
        (json_of(SAMPLES)[:-1], "not valid JSON: "),
        (json_of(SAMPLES) + b"{}", "not valid JSON: Extra data"),
        (json_of(SAMPLES).replace(b"1510", b"NaN"), "not valid JSON: NaN is not JSON"),
        (json_of(SAMPLES).replace(b"1510", b"1" * 5000), "not valid JSON: "),
        (b'{"a":\xff}', "not valid JSON: 'utf-8' codec can't decode"),
        (b'{"a":' * 3000, "not valid JSON: nested too deep"),
        (b"\xa1\x61a" * 3000, "not valid CBOR: maximum container nesting depth"),
        (cbor2.dumps(SAMPLES)[:-1], "not valid CBOR: "),
        (cbor2.dumps(SAMPLES) + b"\x00", "not valid CBOR: 1 bytes after the frame"),
        (b"\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff", "not valid CBOR: "),
        (b"\xa1\x61a\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "not valid CBOR: "),
        (b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff", "not valid CBOR: "),
        (b"\xa1\x61a\xd8\x23\x61(", "not valid CBOR: CBOR tags are not allowed"),
        (b"\xa1\x61a\xc5\x82\x1a\x05\xf5\xe1\x00\x01", "not valid CBOR: CBOR tags are not allowed"),
        (b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00", "not valid CBOR: CBOR tags are not allowed"),
        (b"\xa1\x61a\xd9\xff\xff\x00", "not valid CBOR: CBOR tags are not allowed"),
        (b"\xa1\x80\x01", "not valid CBOR: "),
        (b"\xa2\x61a\x01\x61a\x02", "not valid CBOR: "),
    ],
)
def test_what_is_no_whole_map_has_no_number(payload: bytes, detail: str) -> None:
    read = bad(payload)
    assert (read.code, read.store, read.seq) == ("schema", None, None)
    assert read.detail.startswith(detail)


@pytest.mark.parametrize("members", KINDS_OF_FRAMES, ids=lambda m: m["kind"])
def test_a_member_that_stands_there_twice(members: dict[str, Any]) -> None:
    payload = json_of(members)
    for name in members:
        again = json.dumps({name: members[name]})[1:-1].encode()
        read = bad(payload[:-1] + b"," + again + b"}")
        assert read.detail == f"not valid JSON: member '{name}' is repeated"
        assert (read.store, read.seq) == (None, None)
    inner = json_of(SAMPLES | {"sent": 70_000, "utc": None})
    assert bad(inner.replace(b'"pupil_um"', b'"rr_ms"')).code == "schema"
    assert bad(inner.replace(b'"pupil_um"', b'"\\u0072r_ms"')).code == "schema"


def test_members_may_be_spelt_with_escapes() -> None:
    assert good(json_of(SAMPLES).replace(b'"dt"', b'"\\u0064t"')) == good(json_of(SAMPLES))


def test_too_large() -> None:
    padded = json_of(SAMPLES) + b" " * MAX_PAYLOAD_BYTES
    assert good(padded[:MAX_PAYLOAD_BYTES])
    read = bad(padded[: MAX_PAYLOAD_BYTES + 1])
    assert (read.code, read.store, read.seq) == ("too-large", None, None)
    assert read.detail == "the payload has 16385 bytes, at most 16384 are allowed"
    assert bad(cbor2.dumps([0] * MAX_PAYLOAD_BYTES)).code == "too-large"
    assert bad(b"\x00" * 20_000).code == "too-large"


def test_the_largest_frame_fits() -> None:
    columns = {name: [of.high] * MAX_SAMPLES for name, of in CHANNELS.items()}
    frame = good(to_cbor(SamplesFrame(**_head(), dt=1000, n=MAX_SAMPLES, c=columns)))  # type: ignore[arg-type]
    assert len(to_cbor(frame)) < MAX_PAYLOAD_BYTES


@pytest.mark.parametrize("number", [{"store": "7"}, {"store": 2**32}, {"store": True}, {"seq": 0}])
def test_a_number_out_of_bounds_is_none(number: dict[str, Any]) -> None:
    read = bad(json_of(SAMPLES | number))
    assert read.seq is None
    assert read.store == (None if "store" in number else 7)


def test_an_unreadable_resend_has_the_same_digest() -> None:
    for change in ({"n": "three"}, {"v": 2}, {"c": {"rr_ms": [1]}}):
        one, other = (bad(json_of(SAMPLES | change | {"sent": sent})) for sent in (70_000, 80_000))
        assert one.digest == other.digest == bad(cbor2.dumps(SAMPLES | change)).digest
        assert bad(json_of(SAMPLES | change | {"seq": 5})).digest != one.digest


@given(st.text(max_size=300))
def test_details_hold_nothing_that_text_cannot(name: str) -> None:
    read = bad(json_of(SAMPLES | {"c": {name + "!": [1]}}))
    assert len(read.detail) <= 200
    assert read.detail.isprintable()
    members = SAMPLES | {name or "x": 1}
    if name not in SamplesFrame.__struct_fields__:
        assert bad(json_of(members)).detail.isprintable()


def _head() -> dict[str, Any]:
    return HEAD | {"sid": UUID(SID)}
