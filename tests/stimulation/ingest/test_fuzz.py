"""Fifty thousand random and spoiled payloads: each is answered, and nothing raises.

Beside them payloads of a structure that is costly or odd, which say what they covered:
`pytest --hypothesis-show-statistics tests/stimulation/ingest/test_fuzz.py`.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cbor2
from hypothesis import event, given, target
from hypothesis import strategies as st
from sqlalchemy import text

from benchmarks.shapes import SHAPES
from cymba.stimulation.ingest.decide import Delivery, Quarantined, Refused, Stored
from cymba.stimulation.ingest.ingest import ingest
from cymba.stimulation.wire.frames import Unreadable, decode, unpack
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES
from cymba.stimulation.wire.seq_ranges import SeqRanges
from tests.stimulation.wire.test_parsing import calls

PAGE = Path(__file__).parents[3] / "docs" / "device-protocol.md"
AT = datetime(2026, 3, 1, tzinfo=UTC)
PAYLOADS, BATCH, DEVICES = 50_000, 1_000, 5

Spoil = Callable[[random.Random, bytes], bytes]


def test_every_payload_is_answered(line: Any, frame: Callable[..., dict[str, Any]]) -> None:
    rng = random.Random(20_260_301)
    known = set(re.findall(r"^\| `([a-z-]+)` \| (?:no|yes) \|", PAGE.read_text(), re.MULTILINE))
    devices = [line.hold(f"fuzz-{number:04}") for number in range(DEVICES)]
    session = line.session
    counts: Counter[str] = Counter()
    batch: list[Delivery] = []  # some of the last one come again
    for _ in range(PAYLOADS // BATCH):
        batch = [
            again(rng.choice(batch))
            if batch and rng.random() < 0.05
            else Delivery(rng.choice(devices), payload(rng, frame), AT, rng.random() < 0.5)
            for _ in range(BATCH)
        ]
        ingested = ingest(session, batch)
        session.commit()
        assert len(ingested.outcomes) == BATCH
        for outcome in ingested.outcomes:
            counts[type(outcome).__name__] += 1
            if isinstance(outcome, Quarantined | Refused):
                assert outcome.code in known
                counts[outcome.code] += 1
        rejected = sum(len(ack.rejected) for _, ack in ingested.acks)
        assert rejected == sum(isinstance(o, Quarantined | Refused) for o in ingested.outcomes)
    # Each way out was taken, and none of them was the server's own fault.
    not_taken = {"server", "not-claimed", "other-cell"}  # the device is held, and of no cell
    assert not any(counts[way] for way in not_taken)
    ways = {"Stored", "Duplicate", "rate", *known} - not_taken
    assert {way for way in ways if counts[way] < 50} == set()
    kept = session.execute(text("SELECT * FROM frame")).all()
    assert len(kept) == counts[Stored.__name__]
    for row in kept:
        assert not isinstance(unpack(row), Unreadable)
    resolved = {
        (device, store): SeqRanges(ranges)
        for device, store, ranges in session.execute(
            text("SELECT device_id, store, CAST(resolved AS text) FROM flash_store")
        )
    }
    assert all(row.seq in resolved[row.device_id, row.store] for row in kept)
    seen = session.scalar(text("SELECT sum(times_seen) FROM quarantine"))
    assert seen == counts[Quarantined.__name__]


def again(delivery: Delivery) -> Delivery:
    return Delivery(delivery.device_id, delivery.payload, AT, delivery.settled)


def payload(rng: random.Random, frame: Callable[..., dict[str, Any]]) -> bytes:
    members = good(rng, frame)
    form = rng.choice([in_json, cbor2.dumps])
    match rng.randrange(11):
        case 0 | 1:
            return form(members)  # type: ignore[operator]
        case 10:
            return rng.choice(list(SHAPES.values()))(rng.choice([500, 2_000, 17_000]))
        case 2:
            return rng.randbytes(rng.randrange(200))
        case 3:
            return form(nonsense(rng, 3) if rng.random() < 0.3 else {"v": nonsense(rng, 4)})  # type: ignore[operator]
        case 4 | 5:
            return form(changed(rng, members))  # type: ignore[operator]
        case _:
            whole = form(members)  # type: ignore[operator]
            for _ in range(rng.randrange(1, 4)):
                whole = rng.choice(SPOILS)(rng, whole)
            return whole


def in_json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def good(rng: random.Random, frame: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    seq = rng.randrange(1, 4_000)  # so sparse that a store gets more holes than it may have
    n = rng.randrange(1, 8)
    members = frame(
        seq,
        store=rng.randrange(3),
        boot=rng.randrange(3),
        sid=f"6f0c6f0c-0000-4000-8000-{seq // 100:012}",
        n=n,
        c={"amplitude_ua": [1500] * n, "pulses": [7] * n, "heart_rate_bpm": [None] * n},
    )
    kind = rng.choice(["samples", "samples", "event", "end"])
    if kind != "samples":
        for name in ("dt", "n", "c"):
            del members[name]
        members["kind"] = kind
        if kind == "event":
            members["event"] = {"name": "lead_off", "detail": {"ohm": 25_000}}
        else:
            members |= {"reason": "completed", "first_seq": 1, "last_seq": seq}
    if rng.random() < 0.5:
        members["sent"] = members["up"] + rng.randrange(100_000)
    if rng.random() < 0.1:
        members["utc"] = rng.choice([0, 1_772_352_000_000, 2**53 - 1])
    return members


def changed(rng: random.Random, members: dict[str, Any]) -> dict[str, Any]:
    """One member, or one value of a column, is another."""
    name = rng.choice([*members, "surplus"])
    columns = members.get("c")
    if columns and rng.random() < 0.5:
        column = columns[rng.choice(list(columns))]
        column[rng.randrange(len(column))] = nonsense(rng, 1)
    elif name == "v":
        members["v"] = rng.randrange(5)
    elif rng.random() < 0.2:
        members.pop(name, None)
    else:
        members[name] = nonsense(rng, 2)
    return members


def nonsense(rng: random.Random, depth: int) -> Any:
    """Any value of JSON or nearly so, nested at most `depth` deep."""
    if depth and rng.random() < 0.2:
        inner = [nonsense(rng, depth - 1) for _ in range(rng.randrange(5))]
        if rng.random() < 0.5:
            return inner
        return {str(rng.randrange(9)): value for value in inner}
    return rng.choice(
        [
            rng.choice([None, True, False]),
            rng.choice([-1, 0, 1, 2**31, 2**32, 2**53, -(2**63), 2**64 - 1]),
            10 ** rng.randrange(20, 60),
            rng.choice([0.0, -0.5, 1e308, float("inf"), float("-inf"), float("nan")]),
            rng.choice(["", "\x00", "\n", "samples", "x" * 300, "\u202e", "\U0001f9e0"]),
            rng.randrange(100_000),
            rng.choice(["2026-03-01", "6f0c6f0c-0000-4000-8000-000000000001"]),
            [rng.randrange(9)] * rng.randrange(400),
        ]
    )


def flip(rng: random.Random, whole: bytes) -> bytes:
    spoiled = bytearray(whole)
    for _ in range(rng.randrange(1, 4)):
        if spoiled:
            spoiled[rng.randrange(len(spoiled))] ^= 1 << rng.randrange(8)
    return bytes(spoiled)


def cut(rng: random.Random, whole: bytes) -> bytes:
    return whole[: rng.randrange(len(whole) + 1)]


def drop(rng: random.Random, whole: bytes) -> bytes:
    at = rng.randrange(len(whole) + 1)
    return whole[:at] + whole[at + rng.randrange(1, 5) :]


def insert(rng: random.Random, whole: bytes) -> bytes:
    at = rng.randrange(len(whole) + 1)
    middle = rng.choice(
        [
            b"\x00",
            b'"',
            b"{" * 2_000,
            b"[" * 500,
            b"\x9f" * 500,
            b"\xd8\x23\x61(",
            b"1e999",
            b"9" * 100,
            b"\\ud800",
            b"\xc5\x82\x1a\x05\xf5\xe1\x00\x01",
        ]
    )
    return whole[:at] + middle + whole[at:]


def repeat(rng: random.Random, whole: bytes) -> bytes:
    at = rng.randrange(len(whole) + 1)
    return whole[:at] + whole[at : at + 50] * rng.randrange(2, 20) + whole[at:]


def pad(rng: random.Random, whole: bytes) -> bytes:
    return whole + b" " * rng.choice([1, 16_000, 20_000, 70_000])


SPOILS: list[Spoil] = [flip, flip, flip, cut, drop, insert, repeat, pad]


NAMES = ["v", "store", "seq", "c", "sent", "", "a", "\x00", "\u202e", "é", "\ud800", "x" * 300]
LEAVES = [
    "0",
    "-0",
    "1.0",
    "1e999",
    "9" * 30,
    "9" * 5_000,
    "null",
    "NaN",
    '""',
    '"\\u0000"',
    "true",
]


@st.composite
def objects(draw: st.DrawFn) -> tuple[str, set[str]]:
    """A JSON object, whole or not, and what is odd about it."""
    covered: set[str] = set()

    def value(depth: int) -> str:
        kind = draw(st.sampled_from(["leaf", "leaf", "deep", "wide", "object", "array"]))
        if kind == "deep":
            covered.add(kind)
            opening, closing = draw(st.sampled_from([("[", "]"), ('{"a":', "}")]))
            times = draw(st.sampled_from([5, 40, 900, 3_000]))
            return opening * times + "0" + closing * times
        if kind == "wide":
            covered.add(kind)
            return "[" + ",".join([draw(st.sampled_from(LEAVES))] * draw(st.integers(1, 800))) + "]"
        if kind == "leaf" or depth == 0:
            return draw(st.sampled_from(LEAVES))
        if kind == "array":
            return "[" + ",".join(value(depth - 1) for _ in range(draw(st.integers(0, 3)))) + "]"
        return members(depth - 1)

    def members(depth: int) -> str:
        names = draw(st.lists(st.sampled_from(NAMES) | st.text(max_size=5), max_size=4))
        written = [f"{json.dumps(name)}:{value(depth)}" for name in names]
        if names and draw(st.booleans()):  # type: ignore[arg-type]
            again = f"{json.dumps(draw(st.sampled_from(names)))}:0"
            written += [again] * draw(st.sampled_from([1, 400]))
        if len(set(names)) < len(written):
            covered.add("duplicates")
        if any(not name.isidentifier() for name in names):
            covered.add("odd names")
        return "{" + ",".join(written) + "}"

    inner = members(2)
    if draw(st.booleans()):  # beside the members of a frame
        head = '{"v":1,"store":7,"seq":1,"kind":"samples"'
        inner = head + ("," + inner[1:] if len(inner) > 2 else "}")
    return inner, covered


@given(objects())
def test_what_is_odd_is_explained_and_costs_no_more_than_its_bytes(
    drawn: tuple[str, set[str]],
) -> None:
    written, covered = drawn
    payload = written.encode("utf-8", "surrogatepass")
    for name in covered or {"nothing odd"}:
        event(name)
    event("over the limit" if len(payload) > MAX_PAYLOAD_BYTES else "within the limit")
    read = decode(payload)
    event(f"read: {read.code if isinstance(read, Unreadable) else 'a frame'}")
    if isinstance(read, Unreadable):
        assert read.detail.isprintable()
    work = calls(decode, payload)
    target(work / len(payload), label="calls for a byte")
    assert work <= 200 + 2 * len(payload)
