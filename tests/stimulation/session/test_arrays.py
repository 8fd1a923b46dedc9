"""Columns as arrays say the same as columns as lists, which are what was sent."""

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import DeviceClocks
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import Reads, decode_recording, encode_recording
from cymba.stimulation.session.folding import SUMMED_CHANNELS
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.session.telemetry import telemetry
from cymba.stimulation.wire.messages import SamplesFrame
from tests.stimulation.archive.test_recording import any_frames


def narrowed(reads: list[ReadFrame], wanted: Reads) -> list[ReadFrame]:
    encoded = encode_recording(reads)
    first = reads[0].frame
    return decode_recording(encoded.body, first.store, first.sid, reads=wanted)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(any_frames(), st.sets(st.sampled_from(["amplitude_ua", "impedance_ohm", "rr_ms", "later"])))
def test_arrays_hold_what_lists_hold_and_only_what_is_asked(frames, wanted):
    for plain, lean in zip(frames, narrowed(frames, wanted.__contains__), strict=True):
        assert lean.received_at == plain.received_at
        if not isinstance(plain.frame, SamplesFrame):
            assert lean.frame == plain.frame
            continue
        columns = lean.frame.c
        assert columns.keys() == plain.frame.c.keys() & wanted
        for name, column in columns.items():
            expected = np.array(plain.frame.c[name], dtype=np.float64)
            np.testing.assert_array_equal(column, expected)
        bare = msgspec.structs.replace(plain.frame, c={})
        assert msgspec.structs.replace(lean.frame, c={}) == bare


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(any_frames())
def test_arrays_sum_up_and_show_as_lists_do(frames):
    clocks = DeviceClocks({})
    summed = narrowed(frames, SUMMED_CHANNELS.__contains__)
    assert summarise(summed, clocks, silent=True) == summarise(frames, clocks, silent=True)
    lean, plain = telemetry(narrowed(frames, lambda _: True), clocks), telemetry(frames, clocks)
    assert [one.channel for one in lean.series] == [one.channel for one in plain.series]
    for ours, theirs in zip(lean.series, plain.series, strict=True):
        np.testing.assert_array_equal(ours.offset_ms, theirs.offset_ms)
        np.testing.assert_array_equal(ours.values, theirs.values)
