"""Columns as arrays say the same as columns as lists, which are what was sent."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import DeviceClocks
from cymba.stimulation.archive.columns import columns_of
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import Reads, decode_recording, encode_recording
from cymba.stimulation.session.folding import SUMMED_CHANNELS
from cymba.stimulation.session.summary import summarise
from cymba.stimulation.session.telemetry import telemetry
from cymba.stimulation.wire.messages import SamplesFrame
from tests.stimulation.archive.test_recording import any_frames
from tests.stimulation.session.columns import in_columns, recorded, recording_parts, table_part


def narrowed(reads: list[ReadFrame], wanted: Reads) -> list[ReadFrame]:
    encoded = encode_recording(reads)
    first = reads[0].frame
    return decode_recording(encoded.body, first.store, first.sid, reads=wanted)


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(any_frames())
def test_arrays_sum_up_and_show_as_lists_do(frames):
    clocks = DeviceClocks({})
    summed = narrowed(frames, SUMMED_CHANNELS.__contains__)
    assert summarise(summed, clocks, silent=True) == summarise(frames, clocks, silent=True)
    lean, plain = telemetry(recorded(frames), clocks), telemetry(in_columns(frames), clocks)
    assert [one.channel for one in lean.series] == [one.channel for one in plain.series]
    for ours, theirs in zip(lean.series, plain.series, strict=True):
        np.testing.assert_array_equal(ours.offset_ms, theirs.offset_ms)
        np.testing.assert_array_equal(ours.values, theirs.values)


@settings(max_examples=30)
@given(any_frames(), st.data())
def test_a_frame_in_both_places_counts_once_and_a_late_one_not_at_all(frames, data):
    clocks = DeviceClocks({})
    places = data.draw(st.lists(st.sampled_from("rtb"), min_size=len(frames), max_size=len(frames)))
    sealed = [read for read, place in zip(frames, places, strict=True) if place != "t"]
    waiting = [read for read, place in zip(frames, places, strict=True) if place != "r"]
    before = data.draw(st.sampled_from([read.received_at for read in frames]))
    parts = recording_parts(sealed), [table_part(waiting)] if waiting else []
    both, until = columns_of(*parts), columns_of(*parts, before=before)
    in_time = [read for read in frames if read.received_at < before]
    assert until.heads.seq.size == len(in_time)
    for found, reads in ((both, frames), *[(until, in_time)] * bool(in_time)):
        ours, theirs = telemetry(found, clocks), telemetry(in_columns(reads), clocks)
        assert ours.started_at == theirs.started_at
        assert [one.channel for one in ours.series] == [one.channel for one in theirs.series]
        for one, other in zip(ours.series, theirs.series, strict=True):
            np.testing.assert_array_equal(one.offset_ms, other.offset_ms)
            np.testing.assert_array_equal(one.values, other.values)
