from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cymba.devices.charge import SineBurst
from cymba.devices.clocks import DeviceClocks
from cymba.devices.messages import Programme
from cymba.devices.models import MODELS, Model
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.summary import Summary, summarise

ClocksOf = Callable[[dict[tuple[int, int], datetime]], DeviceClocks]


def sum_up(tape: Any, clocks: DeviceClocks, *, silent: bool = False) -> Summary:
    return summarise(tape.read(), clocks, silent=silent)


def test_the_worked_session_of_half_an_hour(tape: Any, clocks: DeviceClocks) -> None:
    # 2 mA, 250 us, 25 Hz, 30 s on and 30 s off for 30 min: 0.5 uC, 22,500 pulses, 11.25 mC.
    session = tape().start()
    for _ in range(30):
        session.samples(amplitude_ua=[2_000] * 30).samples(amplitude_ua=[0] * 30)
    found = sum_up(session.end(), clocks)
    assert found.delivered_charge_uc == pytest.approx(11_250)
    assert found.pulses == 22_500
    assert found.stimulating_s == 900
    assert found.mean_amplitude_ua == 2_000
    assert found.max_amplitude_ua == 2_000
    assert found.mean_amplitude_over_threshold == 2.0
    assert found.sample_count == 1_800


def test_a_ramp_is_integrated(tape: Any, clocks: DeviceClocks) -> None:
    ramp = list(range(0, 2_000, 100))  # 20 s from 0 to 2 mA
    found = sum_up(tape().start().samples(amplitude_ua=ramp + [2_000] * 10), clocks)
    assert found.delivered_charge_uc == pytest.approx((sum(ramp) + 20_000) * 250e-6 * 25)
    assert found.stimulating_s == 29


def test_the_delivered_amplitude_is_believed_before_the_set_one(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start()
    session.samples(amplitude_ua=[2_000] * 4, amplitude_delivered_ua=[1_000, 1_200, None, 0])
    found = sum_up(session, clocks)
    assert found.mean_amplitude_ua == pytest.approx((1_000 + 1_200 + 2_000) / 3)
    assert found.max_amplitude_ua == 2_000
    assert found.stimulating_s == 3


def test_a_sine_burst_charges_by_its_half_waves(
    tape: Any, clocks: DeviceClocks, programme: Programme
) -> None:
    neck = msgspec.structs.replace(
        programme, pulse_width_us=1_000, amplitude_ua=10_000, site="neck"
    )
    frames = tape().start(neck).samples(amplitude_ua=[10_000] * 120).read()
    found = summarise(frames, clocks, silent=False, waveform=SineBurst(carrier_hz=5_000))
    # 10 mA / (pi * 5 kHz) a half wave, 5 waves in a burst of 1 ms, 25 bursts a second, 120 s.
    assert found.delivered_charge_uc == pytest.approx(10_000 / (3.14159265 * 5_000) * 5 * 25 * 120)


def test_the_devices_counters_are_believed_before_the_integral(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start()
    session.samples(amplitude_ua=[2_000] * 3, charge_uc=[0, None, 30], pulses=[0, 50, 75])
    found = sum_up(session, clocks)
    assert (found.delivered_charge_uc, found.pulses) == (30, 75)


def test_a_counter_of_the_devices_life_counts_from_where_it_stood(
    tape: Any, clocks: DeviceClocks
) -> None:
    """500,000 … 500,300 is 300, and not half a coulomb."""
    life = {"charge_uc": [500_000, None, 500_300], "pulses": [9_000_000, 9_000_025, 9_000_075]}
    found = sum_up(tape().start().samples(amplitude_ua=[2_000] * 3, **life), clocks)
    assert (found.delivered_charge_uc, found.pulses) == (300, 75)
    told = tape().start(counters={"charge_uc": 499_990, "pulses": 9_000_000})
    found = sum_up(told.samples(amplitude_ua=[2_000] * 3, **life), clocks)
    assert (found.delivered_charge_uc, found.pulses) == (310, 75)
    from_zero = tape().start(counters={"charge_uc": 0})
    found = sum_up(from_zero.samples(charge_uc=[10, 40]), clocks)
    assert found.delivered_charge_uc == 40
    assert found.doubts == []


def test_a_counter_that_begins_anew_after_a_reboot_is_added_on(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    clocks = clocks_of({(7, 1): booted_at, (7, 2): booted_at + timedelta(minutes=5)})
    anew = tape().start().samples(charge_uc=[10, 40]).reboot().samples(charge_uc=[0, 15])
    assert sum_up(anew, clocks).delivered_charge_uc == 45
    kept_on = tape().start().samples(charge_uc=[10, 40]).reboot().samples(charge_uc=[40, 55])
    assert sum_up(kept_on, clocks).delivered_charge_uc == 45


def test_a_counter_that_falls_within_a_boot_is_marked(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(charge_uc=[0, 40]).samples(charge_uc=[5, 20])
    found = sum_up(session, clocks)
    assert (found.delivered_charge_uc, found.doubts) == (40, ["counter_falls"])
    anew = tape().start().samples(charge_uc=[0, 40]).reboot().samples(charge_uc=[5, 20])
    assert sum_up(anew, clocks).doubts == []


BAND = MODELS["neck_band"]
BY_LEVEL = Programme(native_level=5, duration_s=240, site="neck", side="left")


def by_model(tape: Any, clocks: DeviceClocks, model: Model) -> Summary:
    return summarise(
        tape.read(), clocks, silent=False, waveform=model.waveform, reports=model.reports
    )


def test_a_session_by_level_has_its_level_and_minutes_and_no_current(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start(BY_LEVEL).samples(native_level=[0] * 5 + [5] * 115)
    session.event("pause").samples(native_level=[5] * 10).event("resume")
    found = by_model(session.samples(native_level=[7] * 120 + [None] * 3).end(), clocks, BAND)
    assert found.stimulating_s == 235
    assert found.mean_native_level == pytest.approx((5 * 115 + 7 * 120) / 235)
    assert found.max_native_level == 7
    assert NO_CURRENT.items() <= asdict(found).items()


def test_figures_that_the_model_cannot_know_are_left_out(tape: Any, clocks: DeviceClocks) -> None:
    """What firmware had to invent to be taken: an amplitude of 0 hides no four minutes."""
    invented = msgspec.structs.replace(
        BY_LEVEL, amplitude_ua=0, frequency_hz=25.0, pulse_width_us=250
    )
    session = tape().start(invented).samples(native_level=[5] * 240, amplitude_ua=[0] * 240)
    found = by_model(session.end(), clocks, BAND)
    assert found.stimulating_s == 240
    assert found.programme == msgspec.to_builtins(BY_LEVEL)
    assert NO_CURRENT.items() <= asdict(found).items()


def test_where_neither_current_nor_level_is_told_the_sessions_marks_count(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    clocks = clocks_of({(7, 1): booted_at, (7, 2): booted_at + timedelta(hours=1)})
    implant, only_site = MODELS["implant"], Programme(site="neck")
    session = tape().start(only_site).pass_time(60_000).event("pause").pass_time(10_000)
    session.event("resume").pass_time(50_000).event("beep").reboot().event("beep").pass_time(20_000)
    found = by_model(session.end(), clocks, implant)
    assert found.stimulating_s == 60 + 50 + 20
    assert NO_CURRENT.items() <= asdict(found).items()
    assert (found.mean_native_level, found.max_native_level) == (None, None)


@pytest.mark.parametrize("lost", ["start", "samples", "end"])
def test_a_time_that_nothing_tells_is_unknown_and_not_zero(
    tape: Any, clocks: DeviceClocks, lost: str
) -> None:
    session = tape()
    if lost == "start":
        session.lose()
    else:
        session.start()
    if lost == "samples":
        session.lose()
    session.pass_time(60_000).event("beep").pass_time(60_000)
    if lost != "end":
        session.end()
    assert by_model(session, clocks, MODELS["ear_cymba"]).stimulating_s is None


NO_CURRENT = dict.fromkeys(
    (
        "delivered_charge_uc",
        "pulses",
        "mean_amplitude_ua",
        "max_amplitude_ua",
        "mean_amplitude_over_threshold",
    )
)


def test_without_a_programme_the_charge_is_unknown_not_zero(
    tape: Any, clocks: DeviceClocks
) -> None:
    found = sum_up(tape().samples(amplitude_ua=[2_000] * 5), clocks)
    assert (found.delivered_charge_uc, found.pulses, found.programme) == (None, None, None)
    assert found.stimulating_s == 5


def test_lost_contact_counts_by_events_and_by_impedance_and_delivers_nothing(
    tape: Any, clocks: DeviceClocks
) -> None:
    session = tape().start().samples(amplitude_ua=[1_000] * 10, impedance_ohm=[3_000] * 10)
    session.event("lead_off").samples(amplitude_ua=[1_000] * 4, impedance_ohm=[25_000] * 4)
    session.event("lead_on").samples(amplitude_ua=[1_000] * 6, impedance_ohm=[5_000] * 6)
    session.samples(amplitude_ua=[1_000] * 2, impedance_ohm=[20_001, 20_000])
    found = sum_up(session, clocks)
    assert found.contact_lost_s == 5  # four by both, and one more by impedance alone
    assert found.stimulating_s == 17
    assert found.mean_impedance_ohm == pytest.approx((30_000 + 30_000 + 20_000) / 17)


def test_contact_that_never_comes_back_is_lost_to_the_end_of_the_boot(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    clocks = clocks_of({(7, 1): booted_at, (7, 2): booted_at + timedelta(hours=2)})
    session = tape().start().event("lead_off").pass_time(9_000).event("beep").reboot()
    session.samples(amplitude_ua=[1_000] * 10)
    found = sum_up(session, clocks)
    assert found.contact_lost_s == 9
    assert found.stimulating_s == 10


def test_a_pause_delivers_nothing(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(amplitude_ua=[1_000] * 10).event("pause")
    session.samples(amplitude_ua=[1_000] * 10).event("resume").samples(amplitude_ua=[1_000] * 10)
    assert sum_up(session, clocks).stimulating_s == 20


def test_heart_rate_before_and_during(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(amplitude_ua=[0] * 20, heart_rate_bpm=[80] * 20)
    session.samples(amplitude_ua=[1_000] * 15 + [0] * 15, heart_rate_bpm=[70] * 15 + [60] * 15)
    session.samples(amplitude_ua=[1_000] * 15, heart_rate_bpm=[70] * 14 + [None])
    found = sum_up(session, clocks)
    assert found.heart_rate_before_bpm == 80
    assert found.heart_rate_during_bpm == pytest.approx((70 * 29 + 60 * 15) / 44)


def test_too_few_readings_tell_no_heart_rate(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(amplitude_ua=[0] * 9, heart_rate_bpm=[80] * 9)
    session.samples(amplitude_ua=[1_000] * 9, heart_rate_bpm=[70] * 9)
    found = sum_up(session, clocks)
    assert (found.heart_rate_before_bpm, found.heart_rate_during_bpm) == (None, None)


def test_rmssd_takes_no_difference_across_a_missing_frame(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start()
    for rr in (800, 1_000):  # 25 % apart, with a frame missing in between
        for _ in range(8):
            session.samples(amplitude_ua=[0] * 10, rr_ms=[rr] * 12)
        session.lose().pass_time(10_000)
    found = sum_up(session, clocks)
    assert (found.rmssd_ms, found.rr_artefact_share) == (0.0, 0.0)


def test_completeness(tape: Any, clocks: DeviceClocks) -> None:
    whole = tape().start().samples(amplitude_ua=[0]).end()
    assert sum_up(whole, clocks).completeness == 1
    gappy = tape().start().lose(1).samples(amplitude_ua=[0]).end()
    found = sum_up(gappy, clocks)
    assert (found.frames_stored, found.frames_expected, found.completeness) == (3, 4, 0.75)
    unknown = tape().start().samples(amplitude_ua=[0])
    found = sum_up(unknown, clocks)
    assert (found.frames_stored, found.frames_expected, found.completeness) == (2, None, None)


def test_frames_outside_what_the_end_tells_of_keep_completeness_within_one(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    session = tape().start().samples(amplitude_ua=[0]).factory_reset(store=9)
    session.samples(amplitude_ua=[0]).lose(1).end()
    clocks = clocks_of({(7, 1): booted_at, (9, 1): booted_at})
    found = sum_up(session, clocks)
    assert (found.frames_stored, found.frames_expected) == (4, 5)
    assert found.completeness == 0.8


def test_states_and_reasons(tape: Any, clocks: DeviceClocks) -> None:
    open_ = sum_up(tape().start(), clocks)
    assert (open_.state, open_.end_reason) == ("open", None)
    silent = sum_up(tape().start(), clocks, silent=True)
    assert (silent.state, silent.end_reason) == ("ended", "unknown_inferred")
    ended = sum_up(tape().start().end("battery_low"), clocks, silent=True)
    assert (ended.state, ended.end_reason) == ("ended", "battery_low")


def test_of_two_ends_the_one_that_was_written_last_holds(tape: Any, clocks: DeviceClocks) -> None:
    session = tape().start().samples(amplitude_ua=[0]).end("lead_off").end("user_stop")
    frames = session.read()
    for order in (frames, frames[::-1]):
        assert summarise(order, clocks, silent=False).end_reason == "user_stop"


def test_times_are_the_devices_moments_on_the_worlds_clock(
    tape: Any, clocks: DeviceClocks, booted_at: datetime
) -> None:
    found = sum_up(tape().start().samples(amplitude_ua=[0] * 10), clocks)
    assert found.started_at == booted_at + timedelta(seconds=60)
    assert found.ended_at == booted_at + timedelta(seconds=69)
    assert found.time_source == "anchored"
    assert 5 <= found.time_error_ms <= 20


def test_a_reboot_in_mid_session_is_one_session_of_two_clocks(
    tape: Any, clocks_of: ClocksOf, booted_at: datetime
) -> None:
    again = booted_at + timedelta(minutes=10)
    session = tape().start().samples(amplitude_ua=[1_000] * 10).reboot(up=2_000)
    session.samples(amplitude_ua=[1_000] * 10).end("watchdog_reset")
    found = sum_up(session, clocks_of({(7, 1): booted_at, (7, 2): again}))
    assert found.boots == [1, 2]
    assert found.started_at == booted_at + timedelta(seconds=60)
    assert found.ended_at == again + timedelta(seconds=12)
    assert found.stimulating_s == 20


def test_the_least_sure_boot_tells_the_source(
    tape: Any, clocks: DeviceClocks, booted_at: datetime
) -> None:
    session = tape().start().reboot().event("pause")
    found = sum_up(session, clocks)
    assert found.time_source in {"between_boots", "arrival"}
    assert found.started_at <= found.ended_at <= booted_at + timedelta(days=1)
    assert found.time_error_ms > 60_000


def test_any_up_and_any_clock_make_a_summary(tape: Any, clocks: DeviceClocks) -> None:
    session = tape(up=0).start().pass_time(2**53 - 1).event("pause")
    session.reboot(up=2**53 - 1).samples(dt=3_600_000, amplitude_ua=[None] * 240)
    for known in (clocks, DeviceClocks({})):
        found = sum_up(session, known)
        assert found.started_at <= found.ended_at


def some_session(tape: type[Any]) -> list[ReadFrame]:
    session = tape().start()
    for i in range(6):
        session.samples(
            amplitude_ua=[1_000 + i] * 5,
            impedance_ohm=[3_000, None, 3_200, 30_000, 3_100],
            heart_rate_bpm=[70 + i] * 5,
            rr_ms=[800 + i, 810, 790, None, 805],
            charge_uc=[i * 10, None, None, None, i * 10 + 5],
            glucose=[i, i, None, i, i],
        )
        if i == 2:
            session.event("lead_off").reboot()
    frames: list[ReadFrame] = session.end().read()
    return frames


# The fixtures hold no state that an example could change.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_order_of_the_frames_does_not_matter(
    data: st.DataObject, tape: type[Any], clocks: DeviceClocks
) -> None:
    frames = some_session(tape)
    kept = data.draw(st.lists(st.sampled_from(frames), min_size=1, unique_by=id))
    shuffled = data.draw(st.permutations(kept))
    assert summarise(shuffled, clocks, silent=False) == summarise(kept, clocks, silent=False)
