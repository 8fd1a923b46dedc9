from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest

from cymba.devices.charge import phase_charge_uc
from cymba.devices.models import MODELS, named, start_members
from cymba.stimulation.wire.channels import CHANNELS
from cymba.stimulation.wire.frames import decode, pack
from cymba.stimulation.wire.messages import (
    EndFrame,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
)
from firmware import wire
from simulator.faults import CLEAN, HOSTILE, PROFILES, REALISTIC, Behaviour, encode_frame
from simulator.life import Booted, Life, Lived, Rhythm, WrittenFrame
from simulator.physical import reported_channels

MakeLife = Callable[..., Life]
LiveOn = Callable[..., list[Lived]]
DENSE = Rhythm(first_after_s=(5.0, 30.0), pause_s=(60.0, 120.0))
MS = timedelta(milliseconds=1)


def written(lived: list[Lived]) -> list[Frame]:
    return [one.frame for one in lived if isinstance(one, WrittenFrame)]


def sessions(lived: list[Lived]) -> list[list[Frame]]:
    by_sid: dict[object, list[Frame]] = defaultdict(list)
    for frame in written(lived):
        by_sid[frame.sid].append(frame)
    return list(by_sid.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_a_seed_makes_the_same_life_byte_for_byte(
    make_life: MakeLife, live_on: LiveOn, profile: str
) -> None:
    one, other = (live_on(make_life(profile=PROFILES[profile], seed=7)) for _ in range(2))
    assert one == other
    assert [pack(f).digest for f in written(one)] == [pack(f).digest for f in written(other)]


def test_another_seed_and_another_device_live_otherwise(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    lives = [make_life(seed=7), make_life(seed=8), make_life("device-0002", seed=7)]
    columns = [
        [frame.c for frame in written(live_on(life)) if isinstance(frame, SamplesFrame)]
        for life in lives
    ]
    assert columns[0] != columns[1] != columns[2] != columns[0]


def test_on_another_day_only_ids_and_dates_are_others(make_life: MakeLife, live_on: LiveOn) -> None:
    later = timedelta(days=400, seconds=7)
    first = make_life(seed=7, profile=REALISTIC)
    again = make_life(seed=7, profile=REALISTIC, began_at=first._began_at + later)
    one, other = written(live_on(first)), written(live_on(again))
    assert first.store != again.store
    assert {f.sid for f in one}.isdisjoint({f.sid for f in other})

    def bare(frame: Frame, shift_ms: int = 0) -> object:
        utc = None if frame.utc is None else frame.utc - shift_ms
        nil = {"store": 0, "sid": one[0].sid, "utc": utc}
        return type(frame)(**{**{n: getattr(frame, n) for n in frame.__struct_fields__}, **nil})

    assert [bare(f) for f in one] == [bare(f, round(later / MS)) for f in other]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("form", ["json", "cbor"])
def test_every_frame_is_one_that_the_server_takes(
    make_life: MakeLife, live_on: LiveOn, model: str, form: wire.Form
) -> None:
    for profile in PROFILES.values():
        life = make_life(model=model, profile=profile, schedule=DENSE)
        for one in live_on(life):
            if isinstance(one, WrittenFrame):
                sent_ms = one.frame.up + 60_000
                payload = encode_frame(one.frame, form, sent_ms=sent_ms, spoiling=one.spoiling)
                read = decode(payload)
                if one.spoiling:
                    assert read.code == one.spoiling
                    assert (read.store, read.seq) == (one.frame.store, one.frame.seq)
                else:
                    assert pack(read).digest == pack(one.frame).digest  # type: ignore[arg-type]


@pytest.mark.parametrize("model", MODELS)
def test_the_readings_are_of_the_registrys_channels_and_their_rates(
    make_life: MakeLife, live_on: LiveOn, model: str
) -> None:
    seen: dict[str, int] = defaultdict(int)
    seconds = 0
    for frame in written(live_on(make_life(model=model, schedule=DENSE))):
        if isinstance(frame, SamplesFrame):
            assert frame.dt == 1000
            seconds += frame.n
            for name, column in frame.c.items():
                values = [value for value in column if value is not None]
                seen[name] += len(values)
                channel = CHANNELS[name]
                assert all(channel.low <= value <= channel.high for value in values)
    has_levels = MODELS[model].native_levels is not None
    every = set(CHANNELS) - (set() if has_levels else {"native_level"})
    told = reported_channels(MODELS[model])
    assert set(seen) == (every if told is None else told)
    for name, count in seen.items():
        if CHANNELS[name].layout == "sampled":
            assert count / seconds == pytest.approx(CHANNELS[name].rate_hz, rel=0.25), name


def test_numbers_run_on_and_a_session_says_which_are_its(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    lived = live_on(make_life(profile=HOSTILE, schedule=DENSE))
    frames = written(lived)
    assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
    assert len({frame.store for frame in frames}) == 1
    whole = 0
    for session in sessions(lived):
        assert isinstance(session[0], StartFrame)
        assert [f.seq for f in session] == list(range(session[0].seq, session[-1].seq + 1))
        if isinstance(session[-1], EndFrame):
            assert (session[-1].first_seq, session[-1].last_seq) == (
                session[0].seq, session[-1].seq,
            )  # fmt: skip
            whole += 1
    assert whole


def test_a_clock_never_goes_back_within_a_boot_nor_the_world_at_all(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    lived = live_on(make_life(profile=HOSTILE, schedule=DENSE), hours=24)
    for one, following in pairwise(lived):
        assert following.at_ms >= one.at_ms - 1.0  # `up` is cut to whole milliseconds
    boots = [one.clock.boot for one in lived if isinstance(one, Booted)]
    assert boots == list(range(boots[0], boots[0] + len(boots)))
    ends: dict[int, int] = {}
    for frame in written(lived):
        # An event is written before the samples around it, which began earlier.
        if not isinstance(frame, EventFrame):
            assert frame.up >= ends.get(frame.boot, 0)
            ends[frame.boot] = frame.up


def test_a_session_goes_on_after_a_reboot_in_another_boot(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    rebooting = replace(CLEAN, reboot_per_session=1.0)
    lived = live_on(make_life(profile=rebooting, schedule=DENSE), hours=12)
    across = [s for s in sessions(lived) if len({frame.boot for frame in s}) == 2]
    assert across
    forgotten = [s for s in sessions(lived) if not isinstance(s[-1], EndFrame)]
    assert forgotten
    for session in across:
        counters = [
            value
            for frame in session
            if isinstance(frame, SamplesFrame)
            for value in frame.c.get("charge_uc", ())
            if value is not None
        ]
        assert counters == sorted(counters)  # kept in flash


def test_true_times_follow_from_up_and_the_boots_clock(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    life = make_life(profile=HOSTILE, schedule=DENSE)
    clock = None
    for one in live_on(life):
        match one:
            case Booted(_, clock):  # type: ignore[misc]
                assert 18 <= abs(clock.drift_ppm) <= 99  # type: ignore[attr-defined]
            case WrittenFrame(at_ms, frame) if clock is not None:
                length_ms = frame.n * frame.dt if isinstance(frame, SamplesFrame) else 0
                assert at_ms == pytest.approx(clock.world_ms(frame.up + length_ms))


def test_calendars_are_off_lost_or_from_1970(make_life: MakeLife, live_on: LiveOn) -> None:
    forgetful = replace(CLEAN, calendar_lost_per_boot=0.5, power_cycle_per_session=1.0)
    frames = written(live_on(make_life(profile=forgetful, schedule=DENSE), hours=24))
    assert {frame.utc is None for frame in frames} == {True, False}
    old = replace(forgetful, old_firmware_per_device=1.0)
    frames = written(live_on(make_life(profile=old, schedule=DENSE), hours=24))
    in_1970 = [frame for frame in frames if frame.utc is not None and frame.utc < 10**11]
    assert 0 < len(in_1970) < len(frames)
    assert all(frame.utc is not None for frame in frames)


def test_an_old_firmware_sends_a_channel_that_nobody_knows(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    life = make_life(profile=replace(CLEAN, old_firmware_per_device=1.0))
    names = {
        name
        for frame in written(live_on(life))
        if isinstance(frame, SamplesFrame)
        for name in frame.c
    }
    assert names - set(CHANNELS) == {"battery_level_pct"}
    assert not life.firmware.exchanges_time


@pytest.mark.parametrize("model", ["ear_clip", "ear_cymba", "neck", "neck_band"])
def test_a_device_locks_itself_beyond_its_daily_dose(
    make_life: MakeLife, live_on: LiveOn, model: str
) -> None:
    lived = live_on(make_life(model=model, schedule=DENSE), hours=24)
    limits = named(MODELS[model].hard)
    told = "amplitude_ua" if MODELS[model].knows_current else "native_level"
    given_s = sum(
        sum(value > 0 for value in frame.c[told] if value is not None)
        for frame in written(lived)
        if isinstance(frame, SamplesFrame)
    )
    assert 0.3 * limits["daily_s"] < given_s <= limits["daily_s"] + 60
    starts = sum(isinstance(frame, StartFrame) for frame in written(lived))
    assert starts <= limits["daily_sessions"]


def test_programmes_keep_to_the_model_and_begin_with_a_titration(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    for model in MODELS.values():
        lived = live_on(make_life(model=model.name, schedule=DENSE))
        starts = [frame for frame in written(lived) if isinstance(frame, StartFrame)]
        assert starts
        for start in starts:
            programme, limits = msgspec.to_builtins(start.programme), named(model.hard)
            told = {name for name, value in programme.items() if value is not None}
            assert start_members(model) <= told
            if not model.knows_current:
                assert told <= start_members(model)  # nothing is made up
            if model.reports.current == "by_level":
                assert 0 < programme["native_level"] <= limits["native_level"]
            if not model.knows_current or model.waveform is None:
                continue
            charge_uc = phase_charge_uc(
                model.waveform, programme["amplitude_ua"], programme["pulse_width_us"]
            )
            assert charge_uc <= limits["phase_charge_uc"]
            assert 0 < programme["amplitude_ua"] <= limits["amplitude_ua"]
            assert programme["sensory_threshold_ua"]
        titrated, *_ = [
            frame.event
            for frame in written(lived)
            if isinstance(frame, EventFrame) and frame.event.name == "titrated"
        ]
        if not titrated.detail:  # nobody measured it
            assert reported_channels(model) is not None
            continue
        assert titrated.detail["sensory_threshold_ua"] == starts[0].programme.sensory_threshold_ua


def test_broken_devices_break_their_own_rule_alone(make_life: MakeLife, live_on: LiveOn) -> None:
    frames = written(live_on(make_life(behaviour=Behaviour(reuses_keys=True))))
    keys = [(frame.store, frame.seq) for frame in frames]
    assert len(set(keys)) < len(keys)
    good, wrong = (
        written(live_on(make_life(behaviour=Behaviour(wrong_units=wrong))))
        for wrong in (False, True)
    )
    for one, other in zip(good, wrong, strict=True):
        if isinstance(one, SamplesFrame) and isinstance(other, SamplesFrame):
            assert [v // 1000 for v in one.c["amplitude_ua"] if v is not None] == (
                other.c["amplitude_ua"]
            )
            assert one.c["charge_uc"] == other.c["charge_uc"]


def test_no_session_is_begun_that_would_not_end_in_time(
    make_life: MakeLife, live_on: LiveOn
) -> None:
    for hours in (0.2, 0.7, 1.3, 2.9):
        lived = live_on(make_life(schedule=DENSE), hours=hours)
        assert all(one.at_ms <= hours * 3_600_000 for one in lived if isinstance(one, WrittenFrame))
        assert all(isinstance(session[-1], EndFrame) for session in sessions(lived))
