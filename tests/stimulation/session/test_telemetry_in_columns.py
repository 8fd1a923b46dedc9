"""Telemetry works on whole columns; reading by reading gives the same."""

import math
import tracemalloc
from collections.abc import Callable
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import DeviceClocks, from_ms
from cymba.devices.counter_laps import LAP_MS
from cymba.stimulation.archive.columns import (
    RecordingColumns,
    SessionColumns,
    TableColumns,
    columns_of,
)
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import encode_recording
from cymba.stimulation.session.telemetry import MIN_POINTS, telemetry
from cymba.stimulation.session.timeline import Timeline
from cymba.stimulation.session.timing import BootSpan, span_of
from cymba.stimulation.wire.messages import SamplesFrame
from tests.stimulation.session.columns import in_columns, table_rows, with_gaps

SID = UUID(int=1)


def samples(seq: int, up: int, columns: dict[str, Any], boot: int = 1) -> SamplesFrame:
    return SamplesFrame(
        v=1, store=1, seq=seq, boot=boot, sid=SID, up=up, utc=None, dt=1_000, n=3, c=columns
    )


BEATS = st.lists(st.none() | st.integers(300, 2_500), max_size=5)
FRAMES = st.lists(
    st.tuples(
        st.sampled_from([0, 3_000, 3_001, 3_900, 9_000]),  # since the frame before
        st.none() | BEATS,
        st.sampled_from([1, 1, 1, 2]),  # its boot
    ),
    max_size=12,
)


def beat_by_beat(placed: list[tuple[int, SamplesFrame]]) -> list[tuple[int, float, bool]]:
    found: list[tuple[float, float, bool]] = []
    expected_ms: int | None = None
    before: int | None = None
    for at_ms, frame in placed:
        together = (
            expected_ms is not None
            and before == frame.boot
            and abs(at_ms - expected_ms) <= frame.dt
        )
        end_ms = float(max(at_ms, found[-1][0])) if together and found else float(at_ms)
        for value in frame.c.get("rr_ms", ()):
            if value is not None:
                end_ms += value
                found.append((end_ms, float(value), together))
            together = value is not None
        expected_ms = at_ms + frame.n * frame.dt if "rr_ms" in frame.c else None
        before = frame.boot
    latest = -math.inf
    ends: list[tuple[int, float, bool]] = []
    for end_ms, interval_ms, follows in found:
        latest = max(latest, end_ms)
        ends.append((round(latest), interval_ms, follows))
    return ends


@given(FRAMES)
@example([(0, [800, None], 1), (3_000, [700, 900], 1), (3_000, [None, 800], 1)])
@example([(0, [2_500] * 5, 1), (3_000, [], 1), (3_000, [900], 1), (3_000, None, 1)])
def test_beats_follow_each_other_from_frame_to_frame(
    given_: list[tuple[int, list[int | None] | None, int]],
) -> None:
    placed, at_ms = [], 1_700_000_000_000
    for seq, (passed_ms, beats, boot) in enumerate(given_):
        at_ms += passed_ms
        columns = {} if beats is None else {"rr_ms": beats}
        placed.append((at_ms, samples(seq + 1, at_ms, columns, boot)))
    reads = [ReadFrame(frame, from_ms(0)) for _, frame in placed]
    at = np.array([at for at, _ in placed], dtype=np.int64)
    beats_of = Timeline(in_columns(reads), at).beats("rr_ms")
    ordered = sorted(placed, key=lambda one: (one[0], one[1].boot, one[1].seq))
    found = (
        []
        if beats_of is None
        else list(
            zip(
                beats_of.at_ms.tolist(),
                beats_of.values.tolist(),
                beats_of.follows.tolist(),
                strict=True,
            )
        )
    )
    assert found == beat_by_beat(ordered)


def thin_by_sorting(at_ms: np.ndarray, values: np.ndarray, points: int) -> list[int]:
    stretches = points // 5
    passed = at_ms - at_ms[0]
    stretch = np.minimum(passed * stretches // (passed[-1] + 1), stretches - 1)
    kept = set()
    for one in range(stretches):
        inside = np.flatnonzero(stretch == one)
        read = inside[~np.isnan(values[inside])].tolist()
        kept |= set(inside[np.isnan(values[inside])].tolist()[:1])
        if read:
            by_value = sorted(read, key=lambda at: (values[at], at))
            kept |= {read[0], read[-1], by_value[0], by_value[-1]}
    return sorted(kept)


@settings(max_examples=100)
@given(st.data(), st.integers(MIN_POINTS + 1, 60), st.integers(MIN_POINTS, 30))
def test_thinning_keeps_the_very_readings(data: st.DataObject, count: int, points: int) -> None:
    steps = data.draw(st.lists(st.integers(0, 3_000), min_size=count, max_size=count))
    value = st.just(math.nan) | st.integers(-2, 2).map(float)
    values = np.array(data.draw(st.lists(value, min_size=count, max_size=count)))
    at_ms = np.cumsum(np.array(steps, dtype=np.int64))
    if count > points:
        expected = thin_by_sorting(at_ms, values, points)
        found_ms, found = with_gaps(at_ms, values, points)
        assert found_ms.tolist() == at_ms[expected].tolist()
        np.testing.assert_array_equal(found, values[expected])


@given(
    st.lists(
        st.integers(0, 50_000) | st.integers(int(LAP_MS) - 50_000, int(LAP_MS) - 1), min_size=1
    )
)
@example([int(LAP_MS) - 5_000, 2_000])
@example([2_000, int(LAP_MS) - 5_000])
def test_a_session_begins_at_its_least_moment_laps_included(ups: list[int]) -> None:
    reads = [
        ReadFrame(samples(seq + 1, up, {"amplitude_ua": [1, 2, 3]}), from_ms(0))
        for seq, up in enumerate(ups)
    ]
    counting = BootSpan(1, 1, low=0)
    assert span_of(reads)[0].low == min(counting.add(read.frame, 0.0) for read in reads)


def from_frame_table(reads: list[ReadFrame]) -> Callable[[], SessionColumns]:
    rows, bodies = table_rows(reads)
    return lambda: columns_of([], [TableColumns(rows, bodies)])


def from_recording(reads: list[ReadFrame]) -> Callable[[], SessionColumns]:
    body = encode_recording(reads).body
    return lambda: columns_of([RecordingColumns(1, body)], [])


@pytest.mark.parametrize("stored", [from_frame_table, from_recording])
def test_the_readings_of_one_channel_alone_are_in_memory(
    stored: Callable[[list[ReadFrame]], Callable[[], SessionColumns]],
) -> None:
    peaks = []
    for count in (2, 16):
        column: list[int | None] = list(range(1_000, 1_200))  # each more than a byte
        channels = {f"channel_{number}": column for number in range(count)}
        frames = [
            SamplesFrame(
                v=1, store=1, seq=seq, boot=1, sid=SID, up=seq * 20_000, utc=None, dt=100,
                n=len(column), c=channels,
            )
            for seq in range(1, 101)
        ]  # fmt: skip
        load = stored([ReadFrame(frame, from_ms(0)) for frame in frames])
        tracemalloc.start()
        found = telemetry(load(), DeviceClocks({}), points=MIN_POINTS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found.series) == count
    assert peaks[1] < 2 * peaks[0]  # for eight times the readings
