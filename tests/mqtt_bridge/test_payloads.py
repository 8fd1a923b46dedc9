import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.stimulation.wire.messages import (
    Ack,
    Presence,
    ReportedState,
    TimeReply,
    TimeRequest,
    to_cbor,
    to_json,
)
from mqtt_bridge import payloads
from mqtt_bridge.payloads import Encoding, Malformed

PRESENCE = Presence(online=True, store=7, boot=3, sent=1_000, firmware="1.2", queued=4)


@pytest.mark.parametrize(
    ("encode", "encoding"), [(to_json, Encoding.JSON), (to_cbor, Encoding.CBOR)]
)
def test_both_encodings_say_the_same(encode: object, encoding: Encoding) -> None:
    payload = encode(PRESENCE)  # type: ignore[operator]
    assert payloads.encoding_of(payload) is encoding
    assert payloads.decode(payload, Presence) == PRESENCE


@pytest.mark.parametrize("encoding", list(Encoding))
def test_an_answer_takes_the_encoding_asked_for(encoding: Encoding) -> None:
    reply = TimeReply(boot=1, u1=2, t2=3, t3=4)
    payload = payloads.encode(reply, encoding)
    assert payloads.encoding_of(payload) is encoding
    ack = payloads.encode(Ack(store=1, upto=2, also=[(4, 5)]), encoding)
    told = msgspec.json.decode(ack) if encoding is Encoding.JSON else cbor2.loads(ack)
    assert told == {"store": 1, "upto": 2, "also": [[4, 5]]}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"{}",
        b"\xff",
        b"[]",
        b"x" * 5_000,
        to_json(PRESENCE) + b"x",
        to_cbor(PRESENCE) + b"x",
        b'{"online":true,"store":4294967296,"boot":1,"sent":1}',
        b'{"online":true,"store":1,"boot":1,"sent":1,"more":1}',
        b"\xa1" * 1_000,
        b"\xc4\x82\x1b\x7f\xff\xff\xff\xff\xff\xff\xff\x01",  # a decimal of 9 * 10**18 digits
    ],
)
def test_what_is_no_presence_says_why(payload: bytes) -> None:
    problem = payloads.decode(payload, Presence)
    assert isinstance(problem, Malformed)
    assert problem.detail


@given(st.binary(max_size=300), st.sampled_from([Presence, TimeRequest, ReportedState]))
def test_no_bytes_raise(
    payload: bytes, type_: type[Presence] | type[TimeRequest] | type[ReportedState]
) -> None:
    assert isinstance(payloads.decode(payload, type_), Malformed | type_)
