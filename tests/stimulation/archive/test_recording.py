from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import from_ms
from cymba.stimulation.archive import recording
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import NotARecording, decode_recording, encode_recording
from cymba.stimulation.wire.frames import pack
from cymba.stimulation.wire.messages import EndFrame, Event, EventFrame, SamplesFrame

SID = UUID("6f0c6f0c-0000-4000-8000-000000000001")
UINT32 = st.integers(0, 2**32 - 1)
UP = st.integers(0, 2**53 - 1)
READING = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.integers(3_000, 3_050))
ARRIVAL = st.integers(946_684_800_000, 4_102_444_800_000).map(from_ms)  # 2000 to 2100


def opened(encoded: recording.EncodedRecording, reads: list[ReadFrame]) -> list[ReadFrame]:
    first = reads[0].frame
    return decode_recording(encoded.body, first.store, first.sid)


@st.composite
def any_frames(draw: st.DrawFn) -> list[ReadFrame]:
    store = draw(UINT32)
    reads = []
    for seq in sorted(draw(st.sets(st.integers(1, 2**32 - 1), min_size=1, max_size=12))):
        key: dict[str, Any] = {
            "v": 1,
            "store": store,
            "seq": seq,
            "boot": draw(UINT32),
            "sid": SID,
            "up": draw(UP),
            "utc": draw(st.none() | UP),
        }
        frame: SamplesFrame | EventFrame | EndFrame
        match draw(st.integers(0, 2)):
            case 0:
                n = draw(st.integers(1, 6))
                names = draw(st.sets(st.sampled_from(["amplitude_ua", "impedance_ohm", "later"])))
                c = {name: draw(st.lists(READING, min_size=n, max_size=n)) for name in names}
                if draw(st.booleans()):
                    c["rr_ms"] = draw(st.lists(READING, max_size=4 * n))
                frame = SamplesFrame(**key, dt=draw(st.integers(1, 3_600_000)), n=n, c=c)
            case 1:
                detail = draw(st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
                frame = EventFrame(**key, event=Event(name="lead_off", detail=detail))  # type: ignore[arg-type]
            case _:
                frame = EndFrame(**key, reason="completed", first_seq=1, last_seq=seq)
        reads.append(ReadFrame(frame, draw(ARRIVAL)))
    return reads


@settings(max_examples=150)
@given(any_frames(), st.randoms(use_true_random=False))
def test_every_frame_comes_back_exactly(reads: list[ReadFrame], random: Any) -> None:
    shuffled = list(reads)
    random.shuffle(shuffled)
    encoded = encode_recording(shuffled)
    assert opened(encoded, reads) == reads
    assert encoded.seqs == [read.frame.seq for read in reads]
    assert encoded.frame_count == len(reads)
    assert encoded.digests == b"".join(pack(read.frame).digest[:8] for read in reads)
    assert [pack(read.frame) for read in opened(encoded, reads)] == [
        pack(read.frame) for read in reads
    ]


def test_a_session_comes_back_with_its_programme(tape: Any) -> None:
    reads = (
        tape().start().samples(amplitude_ua=[1, None, 3]).event("pause", by="thumb").end().read()
    )
    assert opened(encode_recording(reads), reads) == reads


def test_sealing_twice_gives_the_same_bytes(tape: Any) -> None:
    reads = tape().start().samples(amplitude_ua=[1, None, 3], rr_ms=[800, 801]).end().read()
    assert encode_recording(reads) == encode_recording(opened(encode_recording(reads[::-1]), reads))


def test_refuses_what_is_not_one_session(tape: Any) -> None:
    reads = tape().start().read() + tape(store=8).start().read()
    with pytest.raises(NotARecording, match="one session"):
        encode_recording(reads)
    with pytest.raises(NotARecording, match="one session"):
        encode_recording([])


def test_refuses_frames_that_would_not_come_back(tape: Any) -> None:
    reads = tape().start().end().read()
    reads[0] = replace(reads[0], received_at=reads[0].received_at + timedelta(microseconds=1))
    with pytest.raises(NotARecording):
        encode_recording(reads)


def test_names_bytes_that_are_no_recording(tape: Any) -> None:
    reads = tape().start().samples(amplitude_ua=list(range(40))).end().read()
    encoded = encode_recording(reads)
    parts = msgspec.msgpack.decode(encoded.body)
    with pytest.raises(NotARecording, match="version 2"):
        decode_recording(msgspec.msgpack.encode([2, *parts[1:]]), 7, SID)
    with pytest.raises(NotARecording):
        decode_recording(encoded.body[:-9], 7, SID)
    with pytest.raises(NotARecording):
        decode_recording(b"", 7, SID)


def test_six_channels_at_1_hz_take_at_most_five_bytes_a_sample(tape: Any) -> None:
    rng = np.random.default_rng(7)
    count = 1_800
    impedance = 3_000 * rng.lognormal(0, 0.008, count) * (1 + np.arange(count) / 2e5)
    heart = 72 + 3 * np.sin(np.arange(count) / 0.7) + np.cumsum(rng.normal(0, 0.3, count))
    rr = 60_000 / heart + rng.normal(0, 8, count)
    temperature = 31_900 + np.arange(count) / 10 + rng.normal(0, 2, count)
    session = tape().start()
    for begin in range(0, count, 10):
        part = slice(begin, begin + 10)
        session.samples(
            amplitude_ua=[1_500 if begin % 60 < 30 else 0] * 10,
            impedance_ohm=[int(v) for v in impedance[part]],
            heart_rate_bpm=[int(v) for v in heart[part]],
            rr_ms=[int(v) for v in rr[part]],
            skin_temp_mc=[int(v) for v in temperature[part]],
            battery_pct=[83 - begin // 600] * 10,
        )
    reads = session.end().read()
    jitter = rng.integers(20, 200, len(reads))
    reads = [
        replace(read, received_at=read.received_at + timedelta(seconds=10 * i, milliseconds=int(j)))
        for i, (read, j) in enumerate(zip(reads, jitter, strict=True))
    ]
    encoded = encode_recording(reads)
    assert (len(encoded.body) + len(encoded.digests)) / encoded.sample_count <= 5
