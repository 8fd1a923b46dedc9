import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cymba.devices.charge import (
    Pulse,
    SineBurst,
    charge_per_phase_uc,
    phase_charge_uc,
    rms_current,
    sine_phase_charge_uc,
)
from cymba.devices.messages import Programme
from cymba.devices.models import (
    LIMIT_NAMES,
    MODELS,
    Limits,
    Model,
    density_ma_per_cm2,
    named,
    narrowed,
    start_members,
    usual_programme,
    violations,
    widened,
)

EAR = MODELS["ear_cymba"]
NECK = MODELS["neck"]


def programme(model: Model = EAR, **changed: object) -> Programme:
    return msgspec.structs.replace(usual_programme(model), **changed)


def fields(model: Model, wanted: Programme, limits: Limits | None = None) -> list[str]:
    return [one.field for one in violations(model, wanted, limits or model.hard)]


def test_a_rectangular_phase_is_current_times_width() -> None:
    """2 mA for 250 µs: 0.5 µC."""
    assert charge_per_phase_uc(2_000, 250) == 0.5
    assert phase_charge_uc(Pulse(2), 2_000, 250) == 0.5


def test_a_sines_phase_is_its_half_period() -> None:
    """60 mA at 5 kHz, against the integral of the half wave."""
    step_s = 1e-4 / 1_000
    half_wave = sum(
        60_000 * math.sin(2 * math.pi * 5_000 * (n + 0.5) * step_s) * step_s for n in range(1_000)
    )
    assert sine_phase_charge_uc(60_000, 5_000) == pytest.approx(half_wave, rel=1e-5)
    assert phase_charge_uc(SineBurst(5_000), 60_000, 1_000) == pytest.approx(half_wave, rel=1e-5)


def test_rms_current_counts_both_phases() -> None:
    assert rms_current(Pulse(1), 2_000, 25, 250) == pytest.approx(2_000 * math.sqrt(0.00625))
    assert rms_current(Pulse(2), 2_000, 25, 250) == pytest.approx(2_000 * math.sqrt(0.0125))
    assert rms_current(SineBurst(5_000), 60_000, 25, 1_000) == pytest.approx(
        60_000 * math.sqrt(0.0125)
    )


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_a_model_is_whole(model: Model) -> None:
    assert violations(model, usual_programme(model), model.hard) == []
    usual, hard = named(model.usual), named(model.hard)
    for name, offered in usual.items():
        assert offered.low <= offered.default <= offered.high
        assert offered.high <= hard.get(name, math.inf)
    assert hard.get("duration_s", 0) <= hard.get("daily_s", 0)
    if model.native_levels is not None and model.amplitude_step_ua is not None:
        assert model.native_levels * model.amplitude_step_ua <= hard["amplitude_ua"]
    assert {*model.titles} >= {"en", "de"}
    groups = {
        name
        for name in ("electrode_cm2", "compliance_v", "native_levels", "waveform")
        if getattr(model, name) is not None
    }
    groups |= {"usual"} if usual else set()
    groups |= {"hard"} if hard else set()
    assert groups <= {*model.sources}
    msgspec.convert(msgspec.to_builtins(usual_programme(model)), Programme)


@pytest.mark.parametrize("model", [EAR, NECK, MODELS["ear_clip"]], ids=lambda model: model.name)
@pytest.mark.parametrize(
    "name", ["frequency_hz", "pulse_width_us", "amplitude_ua", "ramp_ua_per_s", "duration_s"]
)
def test_beyond_a_hard_limit_is_a_violation(model: Model, name: str) -> None:
    at = int(getattr(model.hard, name))
    found = fields(model, programme(model, **{name: at + 1}))
    assert name in found


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"amplitude_ua": 8_000, "pulse_width_us": 500}, "amplitude_ua"),  # 4 µC a phase
        ({"site": "neck"}, "site"),
        ({"on_s": 1_801}, "on_s"),
        ({"ramp_ua_per_s": None}, "ramp_ua_per_s"),
        ({"native_level": 3}, "native_level"),
    ],
)
def test_rules_between_fields(changed: dict[str, Any], field: str) -> None:
    assert fields(EAR, programme(**changed)) == [field]


def test_pulses_must_fit_into_their_period() -> None:
    wild = msgspec.structs.replace(EAR.hard, frequency_hz=1_000, pulse_width_us=1_000)
    assert "pulse_width_us" in fields(EAR, programme(frequency_hz=600, pulse_width_us=900), wild)


@pytest.mark.parametrize(
    ("level", "amplitude_ua", "field"),
    [(10, 15_000, None), (10, 20_000, "native_level"), (41, 60_000, "native_level")],
)
def test_a_native_level_is_the_current_it_stands_for(
    level: int, amplitude_ua: int, field: str | None
) -> None:
    wanted = programme(NECK, native_level=level, amplitude_ua=amplitude_ua)
    assert fields(NECK, wanted) == ([field] if field else [])


def test_limits_only_narrow() -> None:
    assert widened(EAR, {"amplitude_ua": 2_000, "daily_s": 0}) == []
    assert narrowed(EAR, {"amplitude_ua": 2_000}).amplitude_ua == 2_000
    assert narrowed(EAR, {}) == EAR.hard
    assert [one.field for one in widened(EAR, {"amplitude_ua": 8_001})] == ["amplitude_ua"]
    assert [one.field for one in widened(EAR, {"voltage": 5})] == ["voltage"]
    for wrong in (math.nan, math.inf, -1.0):
        assert widened(EAR, {"amplitude_ua": wrong})


@given(
    st.dictionaries(st.sampled_from(LIMIT_NAMES), st.floats(0, 1e6)),
    st.integers(0, 60_000),
    st.sampled_from([EAR, NECK, MODELS["ear_clip"]]),
)
def test_what_the_narrowed_limits_let_through_the_hard_ones_do(
    limits: dict[str, float], amplitude_ua: int, model: Model
) -> None:
    wanted = programme(model, amplitude_ua=amplitude_ua)
    if not violations(model, wanted, narrowed(model, limits)):
        assert not violations(model, wanted, model.hard)


def test_a_high_density_can_be_seen() -> None:
    usual = programme(amplitude_ua=2_000)
    high = programme(amplitude_ua=8_000, frequency_hz=100)
    assert density_ma_per_cm2(EAR, usual, EAR.hard) == pytest.approx(0.447, abs=1e-3)
    assert (density_ma_per_cm2(EAR, high, EAR.hard) or 0) > 2


BAND, TENS, IMPLANT = MODELS["neck_band"], MODELS["tens_ear_clip"], MODELS["implant"]


def test_a_model_by_level_is_programmed_and_limited_by_level() -> None:
    wanted = programme(BAND, native_level=5)
    assert fields(BAND, wanted) == []
    assert fields(BAND, wanted, narrowed(BAND, {"native_level": 4})) == ["native_level"]
    assert fields(BAND, programme(BAND, native_level=10)) == ["native_level"]
    assert [one.field for one in widened(BAND, {"amplitude_ua": 0})] == ["amplitude_ua"]
    assert density_ma_per_cm2(BAND, wanted, BAND.hard) is None


@pytest.mark.parametrize(
    "made_up", [{"amplitude_ua": 0}, {"frequency_hz": 25.0}, {"pulse_width_us": 250}]
)
def test_what_a_model_does_not_have_cannot_be_set(made_up: dict[str, Any]) -> None:
    assert fields(BAND, programme(BAND, native_level=5, **made_up)) == list(made_up)


@pytest.mark.parametrize("missing", ["native_level", "duration_s", "side"])
def test_a_programme_names_what_the_model_has(missing: str) -> None:
    assert fields(BAND, programme(BAND, **{missing: None})) == [missing]
    with_current = [one for one in (missing, "frequency_hz") if one != "native_level"]
    for name in with_current:
        assert fields(EAR, programme(EAR, **{name: None})) == [name]


def test_a_start_tells_what_the_model_knows_and_nothing_else() -> None:
    assert start_members(BAND) == {"site", "side", "duration_s", "native_level"}
    assert start_members(TENS) == {"site", "amplitude_ua", "frequency_hz", "pulse_width_us"}
    assert start_members(IMPLANT) == {"site"}
    assert start_members(EAR) == {
        "site", "side", "duration_s", "amplitude_ua", "frequency_hz", "pulse_width_us", "on_s",
        "off_s",
    }  # fmt: skip
