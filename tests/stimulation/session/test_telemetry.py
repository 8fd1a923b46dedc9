from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cymba.devices.clocks import DeviceClocks
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session import telemetry as channels_over_time
from cymba.stimulation.session.telemetry import MIN_POINTS, ChannelSeries, Telemetry
from tests.stimulation.session.columns import in_columns, with_gaps

ClocksOf = Callable[[dict[tuple[int, int], datetime]], DeviceClocks]


def telemetry(reads: list[ReadFrame], clocks: DeviceClocks, **query: Any) -> Telemetry:
    return channels_over_time.telemetry(in_columns(reads), clocks, **query)


def series(found: Telemetry, channel: str) -> ChannelSeries:
    return next(one for one in found.series if one.channel == channel)


def points(one: ChannelSeries) -> list[tuple[int, float | None]]:
    return [
        (int(ms), None if np.isnan(value) else float(value))
        for ms, value in zip(one.offset_ms, one.values, strict=True)
    ]


def test_values_come_in_their_units_at_their_times(
    tape: Any, clocks: DeviceClocks, booted_at: datetime
) -> None:
    session = tape().start().samples(amplitude_ua=[1_500, 1_600], heart_rate_bpm=[70, 71])
    found = telemetry(session.read(), clocks)
    assert found.started_at == booted_at + timedelta(seconds=60)
    amplitude, heart = series(found, "amplitude_ua"), series(found, "heart_rate_bpm")
    assert (amplitude.unit, points(amplitude)) == ("uA", [(0, 1_500.0), (1_000, 1_600.0)])
    assert (amplitude.shown_unit, amplitude.scale) == ("mA", 1_000)
    assert (heart.unit, points(heart)) == ("/min", [(0, 70.0), (1_000, 71.0)])


def test_channels_come_in_the_registrys_order_and_unknown_ones_last_and_raw(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start().samples(rr_ms=[800], zeta=[5], alpha=[6], amplitude_ua=[1])
    found = telemetry(session.read(), clocks)
    names = [one.channel for one in found.series]
    assert names == ["amplitude_ua", "rr_ms", "alpha", "zeta"]
    assert (series(found, "zeta").unit, points(series(found, "zeta"))) == (None, [(0, 5.0)])


def test_only_the_channels_that_were_asked_for(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(amplitude_ua=[1], impedance_ohm=[2], rr_ms=[800])
    found = telemetry(session.read(), clocks, channels=["rr_ms", "impedance_ohm", "no_such"])
    assert [one.channel for one in found.series] == ["impedance_ohm", "rr_ms"]


def test_a_missing_reading_and_a_missing_frame_are_gaps(tape: Any, clocks: DeviceClocks) -> None:
    other = [1_000, 1_100, None, None]  # null elsewhere, as often
    session = tape().start().samples(impedance_ohm=[3_000, None, None, 3_100], amplitude_ua=other)
    session.lose().pass_time(10_000).samples(impedance_ohm=[3_200], amplitude_ua=[1_200])
    found = telemetry(session.read(), clocks)
    assert points(series(found, "impedance_ohm")) == [
        (0, 3_000.0),
        (1_000, None),
        (3_000, 3_100.0),
        (4_000, None),
        (14_000, 3_200.0),
    ]
    amplitude = [(0, 1_000.0), (1_000, 1_100.0), (2_000, None), (14_000, 1_200.0)]
    assert points(series(found, "amplitude_ua")) == amplitude


def test_the_nulls_of_a_slow_channel_in_fast_frames_are_no_gaps(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start()
    for minute in range(3):
        session.samples(skin_temp_mc=[31_000 + minute, *[None] * 59])
    session.lose().pass_time(60_000).samples(skin_temp_mc=[32_000])
    found = points(series(telemetry(session.read(), clocks), "skin_temp_mc"))
    assert found == [
        (0, 31_000.0),
        (60_000, 31_001.0),
        (120_000, 31_002.0),
        (180_000, None),
        (240_000, 32_000.0),
    ]


def test_beats_have_their_own_times(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(heart_rate_bpm=[75] * 4, rr_ms=[800, 810, 790, 820, 805])
    session.samples(heart_rate_bpm=[75] * 4, rr_ms=[800, 800])
    found = points(series(telemetry(session.read(), clocks), "rr_ms"))
    assert [ms for ms, _ in found] == [800, 1_610, 2_400, 3_220, 4_025, 4_825, 5_625]


def test_a_long_silence_of_the_heart_sensor_is_a_gap(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(heart_rate_bpm=[75] * 2, rr_ms=[800, 800])
    session.samples(heart_rate_bpm=[None] * 30).samples(heart_rate_bpm=[75], rr_ms=[810])
    found = points(series(telemetry(session.read(), clocks), "rr_ms"))
    assert found == [(800, 800.0), (1_600, 800.0), (1_601, None), (32_810, 810.0)]


def test_from_and_to(tape: Any, clocks: DeviceClocks, booted_at: datetime) -> None:
    frames = tape().start().samples(amplitude_ua=list(range(10))).read()
    began = booted_at + timedelta(seconds=60)
    found = telemetry(
        frames, clocks, begin=began + timedelta(seconds=3), end=began + timedelta(seconds=5)
    )
    assert points(series(found, "amplitude_ua")) == [(3_000, 3.0), (4_000, 4.0)]


def test_a_second_boot_lies_where_its_clock_says(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    session = tape().start().samples(amplitude_ua=[1]).reboot(up=5_000).samples(amplitude_ua=[2])
    clocks = clocks_of({(7, 1): booted_at, (7, 2): booted_at + timedelta(minutes=3)})
    found = points(series(telemetry(session.read(), clocks), "amplitude_ua"))
    assert found == [(0, 1.0), (1_000, None), (125_000, 2.0)]


def test_peaks_survive_thinning(tape: Any, clocks: DeviceClocks) -> None:
    impedance = [3_000] * 3_600
    impedance[1_234], impedance[2_345] = 90_000, 100
    session = tape().start()
    for begin in range(0, 3_600, 240):
        session.samples(impedance_ohm=impedance[begin : begin + 240])
    found = series(telemetry(session.read(), clocks, points=50), "impedance_ohm")
    assert len(found.values) <= 50
    assert (1_234_000, 90_000.0) in points(found)
    assert (2_345_000, 100.0) in points(found)
    assert points(found)[0] == (0, 3_000.0)
    assert points(found)[-1] == (3_599_000, 3_000.0)


def test_a_gap_survives_thinning(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start()
    for begin in range(0, 2_400, 240):
        if begin == 960:
            session.lose().pass_time(240_000)
        session.samples(impedance_ohm=list(range(begin, begin + 240)))
    found = series(telemetry(session.read(), clocks, points=20), "impedance_ohm")
    assert len(found.values) <= 20
    assert (960_000, None) in points(found)


def test_a_session_without_samples_has_no_series(tape: Any, clocks: DeviceClocks) -> None:
    assert telemetry(tape().start().end().read(), clocks, points=100).series == ()


def test_an_empty_stretch_of_time_gives_empty_series(
    tape: Any, clocks: DeviceClocks, booted_at: datetime
) -> None:
    frames = tape().start().samples(amplitude_ua=[1] * 50, rr_ms=[800]).read()
    found = telemetry(frames, clocks, points=10, begin=booted_at + timedelta(days=1))
    assert [one.values.size for one in found.series] == [0, 0]


@settings(max_examples=200)
@given(
    steps=st.lists(st.integers(0, 5_000), min_size=1, max_size=300),
    data=st.data(),
    most=st.integers(MIN_POINTS, 120),
)
def test_thinning_keeps_order_size_extremes_and_ends(
    steps: list[int], data: st.DataObject, most: int
) -> None:
    at_ms = np.cumsum(np.array(steps, dtype=np.int64))
    value = st.one_of(st.just(float("nan")), st.integers(-50, 50).map(float))
    values = np.array(data.draw(st.lists(value, min_size=len(steps), max_size=len(steps))))
    kept_ms, kept = with_gaps(at_ms, values, most)
    assert kept.size <= most or at_ms.size <= most
    assert np.all(np.diff(kept_ms) >= 0)
    read = values[~np.isnan(values)]
    if read.size:
        kept_read = kept[~np.isnan(kept)]
        assert (kept_read[0], kept_read[-1]) == (read[0], read[-1])
        assert (kept_read.min(), kept_read.max()) == (read.min(), read.max())
    if np.isnan(values).any():
        assert np.isnan(kept).any()


# The fixtures hold no state that an example could change.
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_the_frames_does_not_matter(
    data: st.DataObject, tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start()
    for i in range(5):
        session.samples(amplitude_ua=[i, None, 3], rr_ms=[800, None, 790 + i], later=[1, 2, i])
    frames = session.reboot().samples(amplitude_ua=[9]).end().read()
    shuffled = data.draw(st.permutations(frames))
    one, other = telemetry(frames, clocks, points=10), telemetry(shuffled, clocks, points=10)
    assert one.started_at == other.started_at
    for a, b in zip(one.series, other.series, strict=True):
        assert (a.channel, a.unit) == (b.channel, b.unit)
        np.testing.assert_array_equal(a.offset_ms, b.offset_ms)
        np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize("most", [1, MIN_POINTS])
def test_fewer_points_than_the_least_are_not_asked(
    tape: Any, clocks: DeviceClocks, most: int
) -> None:
    frames = tape().start().samples(amplitude_ua=list(range(100))).read()
    found = series(telemetry(frames, clocks, points=most), "amplitude_ua")
    assert 2 <= found.values.size <= MIN_POINTS
