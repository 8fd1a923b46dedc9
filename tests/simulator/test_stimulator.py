from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

from cymba.devices.messages import Programme
from cymba.stimulation.wire.messages import END_REASONS
from simulator import stimulator
from simulator.physiology import ELECTRODES, draw_body
from simulator.seeding import stream
from simulator.stimulator import LEAD_IN_S, Equipment, SessionCourse

PROGRAMME = Programme(
    frequency_hz=25.0,
    pulse_width_us=250,
    amplitude_ua=2_000,
    on_s=30,
    off_s=30,
    duration_s=1_800,
    site="cymba_conchae",
    side="left",
    ramp_ua_per_s=500,
)
FULL = Equipment(compliance_mv=60_000, battery_pct=90.0, battery_pct_per_s=4.5 / 1800)


def course(at: int, programme: Programme = PROGRAMME, equipment: Equipment = FULL) -> SessionCourse:
    body = draw_body(ELECTRODES["ear_cymba"], stream(1, "body", at))
    return stimulator.run(programme, body, equipment, stream(1, "course", at))


@pytest.fixture(scope="module")
def courses() -> list[SessionCourse]:
    return [course(at) for at in range(400)]


def test_a_current_never_jumps(courses: list[SessionCourse]) -> None:
    for one in courses:
        steps = np.diff(one.set_ua, prepend=0)
        assert steps.max() <= 500
        assert steps.min() >= -500 or one.end_reason == "short_circuit"
        assert one.set_ua[-1] == 0


def test_a_reboot_is_the_only_way_that_a_current_dies_at_once() -> None:
    rebooting = Equipment(60_000, 90.0, 4.5 / 1800, reboot_share=1.0)
    jumps = 0
    for at in range(60):
        one = course(at, equipment=rebooting)
        drops = np.flatnonzero(np.diff(one.set_ua) < -500) + 1
        assert set(drops.tolist()) <= {one.reboot_at_s}
        jumps += len(drops)
    assert jumps


def test_a_whole_session_gives_what_its_programme_says() -> None:
    one = next(
        c
        for c in (course(at) for at in range(100))
        if c.end_reason == "completed"
        and [e.name for _, e in c.events] == ["stimulation_started", "stimulation_stopped"]
    )
    assert not one.set_ua[:LEAD_IN_S].any()
    cycle = one.set_ua[LEAD_IN_S : LEAD_IN_S + 60]
    assert cycle[:5].tolist() == [0, 500, 1_000, 1_500, 2_000]
    assert cycle[26:31].tolist() == [2_000, 1_500, 1_000, 500, 0]
    assert not cycle[30:].any()
    assert np.count_nonzero(one.set_ua) == 30 * 29  # the first second of a ramp is at nothing
    assert one.drive[LEAD_IN_S : LEAD_IN_S + 1_800].mean() == pytest.approx(0.87, abs=0.02)


def test_without_pauses_there_is_one_ramp() -> None:
    continuous = replace(PROGRAMME, on_s=120, off_s=0, duration_s=120)
    one = next(
        c
        for c in (course(at, continuous) for at in range(50))
        if c.end_reason == "completed" and len(c.events) == 2
    )
    flowing = one.set_ua[LEAD_IN_S + 4 : LEAD_IN_S + 117]
    assert (flowing == 2_000).all()


def test_sessions_end_for_the_reasons_that_they_end_for(courses: list[SessionCourse]) -> None:
    ends = Counter(one.end_reason for one in courses)
    assert set(ends) <= set(END_REASONS)
    assert 0.65 < ends["completed"] / len(courses) < 0.85
    assert 0.07 < ends["lead_off"] / len(courses) < 0.22  # 0.5 an hour, three in ten not put back
    assert 0.02 < ends["user_stop"] / len(courses) < 0.10
    assert 0.01 < ends["discomfort_reported"] / len(courses) < 0.06


def test_nothing_flows_without_contact(courses: list[SessionCourse]) -> None:
    seen = 0
    for one in courses:
        off = one.impedance_ohm > 20_000
        seen += off.any()  # type: ignore[assignment]
        assert not one.delivered_ua[off].any()
    assert seen > 50


def test_contact_that_comes_back_is_ramped_into_again() -> None:
    for at in range(200):
        one = course(at)
        back = [second for second, event in one.events if event.name == "lead_on"]
        for second in back:
            assert one.set_ua[second] <= 500


def test_an_empty_battery_and_a_full_dose_end_a_session() -> None:
    empty = course(3, equipment=Equipment(60_000, 6.0, 4.5 / 1800))
    assert empty.end_reason == "battery_low"
    assert empty.battery_pct.min() >= 4.0
    dosed = course(3, equipment=Equipment(60_000, 90.0, 4.5 / 1800, dose_left_s=300.0))
    assert dosed.end_reason == "daily_dose_lockout"
    assert np.count_nonzero(dosed.set_ua) <= 305


def test_a_source_at_its_voltage_gives_up() -> None:
    weak = course(3, equipment=Equipment(2_000, 90.0, 4.5 / 1800))
    assert weak.end_reason == "compliance_limit"
    assert (weak.delivered_ua <= weak.set_ua + 50).all()


def test_a_reboot_resumes_ends_or_forgets_the_session() -> None:
    rebooting = Equipment(60_000, 90.0, 4.5 / 1800, reboot_share=1.0)
    courses = [course(at, equipment=rebooting) for at in range(200)]
    rebooted = [one for one in courses if one.reboot_at_s is not None]
    assert len(rebooted) > 100
    ends = Counter(one.end_reason for one in rebooted)
    assert ends["completed"] > ends["watchdog_reset"] > ends[None] > 0
