"""The protocol's page is true: its examples decode, and its tables are the code's."""

import json
import re
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from referencing import Registry, Resource

from cymba.devices.programme import REFUSAL_CODES
from cymba.devices.signing import read_public_key, signed_bytes, verify
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY, MAX_RANGES
from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.frames import Unreadable, decode, pack
from cymba.stimulation.wire.messages import (
    END_REASONS,
    MAX_PAYLOAD_BYTES,
    RETRIED_CODES,
    Ack,
    Desired,
    EndFrame,
    Frame,
    Presence,
    Programme,
    RejectionCode,
    Relocation,
    ReportedState,
    SamplesFrame,
    StartFrame,
    TimeReply,
    TimeRequest,
)
from ops import asyncapi

PAGE = (Path(__file__).parents[2] / "docs" / "device-protocol.md").read_text()
FENCE = re.compile(r"^```(json|hex) ([a-z-]+)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [match.groups() for match in FENCE.finditer(PAGE)]
TYPES: dict[str, Any] = {
    "ack": Ack,
    "presence": Presence,
    "time": TimeRequest,
    "time-reply": TimeReply,
    "desired": Desired,
    "relocation": Relocation,
    "reported": ReportedState,
}


def payloads(what: str, form: str = "json") -> list[bytes]:
    found = [body for of, name, body in EXAMPLES if (of, name) == (form, what)]
    assert found
    return [bytes.fromhex(body) if form == "hex" else body.encode() for body in found]


def frames() -> list[Frame]:
    read = [decode(payload) for payload in payloads("frame")]
    assert not [frame for frame in read if isinstance(frame, Unreadable)]
    return [frame for frame in read if not isinstance(frame, Unreadable)]


def test_the_frames_are_a_whole_session() -> None:
    read = frames()
    assert [type(frame).__name__ for frame in read] == [
        "StartFrame",
        "SamplesFrame",
        "EventFrame",
        "EndFrame",
    ]
    assert len({(frame.store, frame.boot, frame.sid) for frame in read}) == 1
    assert [frame.seq for frame in read] == [1, 2, 3, 4]
    end = read[-1]
    assert isinstance(end, EndFrame)
    assert (end.first_seq, end.last_seq) == (1, 4)


def test_the_cbor_is_the_same_frame() -> None:
    (cbor,) = payloads("frame", "hex")
    samples = next(payload for payload in payloads("frame") if b'"samples"' in payload)
    one, other = decode(cbor), decode(samples)
    assert isinstance(one, SamplesFrame)
    assert isinstance(other, SamplesFrame)
    assert pack(one) == pack(other)
    assert f"in CBOR, {len(cbor)} bytes (JSON: {len(samples)})" in PAGE


@pytest.mark.parametrize("what", TYPES)
def test_every_other_message_decodes(what: str) -> None:
    for payload in payloads(what):
        msgspec.json.decode(payload, type=TYPES[what])


@pytest.mark.parametrize("what", ["frame", *TYPES])
def test_every_example_fits_its_schema(what: str) -> None:
    schemas = asyncapi.document()["components"]["schemas"]
    root = Resource.from_contents(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": {"schemas": schemas},
        }
    )
    registry: Registry[Any] = Registry().with_resource("urn:all", root)
    for payload in payloads(what):
        type_ = type(decode(payload)) if what == "frame" else TYPES[what]
        reference = {"$ref": f"urn:all#/components/schemas/{type_.__name__}"}
        jsonschema.Draft202012Validator(reference, registry=registry).validate(json.loads(payload))


def test_every_message_has_an_example() -> None:
    shown = {type(frame) for frame in frames()} | set(TYPES.values())
    of_all = {message for topic in asyncapi.TOPICS.values() for message in topic.messages}
    assert shown == of_all


def test_every_code_is_listed_with_whether_to_retry() -> None:
    listed = dict(re.findall(r"^\| `([a-z-]+)` \| (no|yes) \|", PAGE, re.MULTILINE))
    assert listed.keys() == set(get_args(RejectionCode))
    assert {code for code, retry in listed.items() if retry == "yes"} == RETRIED_CODES


def test_the_rejections_of_the_examples_are_consistent() -> None:
    named = 0
    for payload in payloads("ack"):
        for rejection in msgspec.json.decode(payload, type=Ack).rejected:
            assert rejection.retry == (rejection.code in RETRIED_CODES)
            if rejection.payload:
                assert rejection.payload == sha256(b"\x00\x01").hexdigest()[:16]
                named += 1
    assert named == 1


def test_every_channel_is_listed_as_it_is_checked() -> None:
    row = r"^\| `([a-z0-9_]+)` \| (\S+) \| (-?[\d,]+) … (-?[\d,]+) \| (.+?) \|"
    listed = {
        name: (unit, int(low.replace(",", "")), int(high.replace(",", "")), rate == "per beat")
        for name, unit, low, high, rate in re.findall(row, PAGE, re.MULTILINE)
    }
    assert listed == {
        channel.name: (channel.unit, channel.low, channel.high, channel.layout == "per_beat")
        for channel in CHANNELS.values()
    }


def test_the_rules_are_numbered_without_gaps() -> None:
    numbers = [int(number) for number in re.findall(r"^- \*\*R(\d+)\*\* ", PAGE, re.MULTILINE)]
    # In no order: a rule keeps its number for ever, and a new one stands where it belongs.
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert {int(number) for number in re.findall(r"\(R(\d+)\)", PAGE)} <= set(numbers)


def test_the_members_and_reasons_are_all_named() -> None:
    names = {*StartFrame.__struct_fields__, *Programme.__struct_fields__, *END_REASONS}
    names |= {*EndFrame.__struct_fields__, *SamplesFrame.__struct_fields__, *REFUSAL_CODES}
    missing = [name for name in names if f"`{name}`" not in PAGE]

    assert missing == []


def test_the_numbers_are_the_codes_own() -> None:
    assert f"At most {MAX_PAYLOAD_BYTES:,} bytes" in PAGE
    assert f"at most {MAX_RANGES} ranges" in PAGE
    assert f"may begin {MAX_NEW_STORES_A_DAY} stores a day" in PAGE


def test_the_signature_verifies() -> None:
    (payload,) = payloads("desired")
    (signed,) = payloads("signed", "hex")
    desired = msgspec.json.decode(payload, type=Desired)
    assert signed_bytes("demo-ear-0001", desired) == signed
    shown = re.search(r"public key that verifies it is `([\w-]+)`", PAGE)
    assert shown
    key = read_public_key(shown[1])
    assert verify(key, "demo-ear-0001", desired)
    assert not verify(key, "demo-ear-0002", desired)


def test_the_shell_line_finds_the_frames_of_this_page() -> None:
    line = re.search(r"^(sed .*?) \|$", PAGE, re.MULTILINE)
    assert line
    root = Path(__file__).parents[2]
    printed = subprocess.run(line[1], shell=True, cwd=root, capture_output=True, check=True)  # noqa: S602 - it is the page's own
    assert printed.stdout.splitlines() == payloads("frame")
