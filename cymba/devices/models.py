"""The device models: what each can do, and where its hard limits lie.

One row of `MODELS` adds a model everywhere. The usual ranges are what the app offers; the hard
limits are the model's own: a server may narrow them for a device and never widen them. The
models are simulated, after the kinds of device on the market; no limit here proves safety.

Amplitudes of different models are never comparable: electrode, waveform and site differ. Beside
the current stand the model's native level and the multiple of the person's sensory threshold.
"""

from collections.abc import Mapping
from typing import NamedTuple

from cymba.devices.charge import (
    Pulse,
    SineBurst,
    Waveform,
    phase_charge_uc,
    rms_current_density,
)
from cymba.devices.messages import Programme, Site


class Range(NamedTuple):
    low: float
    high: float
    default: float


class Usual(NamedTuple):
    """The ranges that the app offers."""

    frequency_hz: Range
    pulse_width_us: Range
    amplitude_ua: Range
    ramp_ua_per_s: Range
    on_s: Range
    off_s: Range
    duration_s: Range


class Limits(NamedTuple):
    """Upper bounds that a device enforces. These are the names in the `limits` of `desired`."""

    frequency_hz: float
    pulse_width_us: float
    amplitude_ua: float
    ramp_ua_per_s: float
    duration_s: float  # of one session
    daily_s: float  # of all sessions in any 24 h
    daily_sessions: float
    phase_charge_uc: float


class Model(NamedTuple):
    name: str
    title: str
    prefix: str  # of its serial numbers
    sites: tuple[Site, ...]
    waveform: Waveform
    electrode_cm2: float
    compliance_v: float
    native_levels: int | None  # steps of the device's own scale; one step is `level_step_ua`
    level_step_ua: int
    usual: Usual
    hard: Limits

    @property
    def pulse_phases(self) -> int:
        return self.waveform.phases if isinstance(self.waveform, Pulse) else 1


class Violation(NamedTuple):
    """A field of a programme or of its limits that goes beyond what is allowed."""

    field: str
    detail: str


ATTENTION_DENSITY_MA_PER_CM2 = 2.0
"""From here on IEC 60601-2-10 wants the operator's attention: flagged, not refused."""


def usual_programme(model: Model) -> Programme:
    """The model's default programme, which leaves the amplitude to titration."""
    usual = model.usual
    return Programme(
        frequency_hz=usual.frequency_hz.default,
        pulse_width_us=int(usual.pulse_width_us.default),
        amplitude_ua=0,
        on_s=int(usual.on_s.default),
        off_s=int(usual.off_s.default),
        duration_s=int(usual.duration_s.default),
        site=model.sites[0],
        side="left",
        ramp_ua_per_s=int(usual.ramp_ua_per_s.default),
    )


def widened(model: Model, limits: Mapping[str, float]) -> list[Violation]:
    """Where `limits` name what the model does not have, or reach past its hard limits."""
    hard = model.hard._asdict()
    violations = []
    for name, value in limits.items():
        if name not in hard:
            violations.append(Violation(name, f"{model.name} has no such limit"))
        elif not 0 <= value <= hard[name]:
            violations.append(Violation(name, f"{value:g} is not within 0 … {hard[name]:g}"))
    return violations


def narrowed(model: Model, limits: Mapping[str, float]) -> Limits:
    """The limits that hold: of each the narrower, `limits` where given and the model's."""
    hard = model.hard._asdict()
    return Limits(**{name: min(value, limits.get(name, value)) for name, value in hard.items()})


def violations(model: Model, programme: Programme, limits: Limits) -> list[Violation]:
    """Where `programme` goes beyond `limits` or what the model can do at all; none is fine."""
    found = [
        Violation(name, f"{value:g} is above {getattr(limits, name):g}")
        for name, value in (
            ("frequency_hz", programme.frequency_hz),
            ("pulse_width_us", float(programme.pulse_width_us)),
            ("amplitude_ua", float(programme.amplitude_ua)),
            ("ramp_ua_per_s", float(programme.ramp_ua_per_s or 0)),
            ("duration_s", float(programme.duration_s)),
        )
        if value > getattr(limits, name)
    ]
    charge_uc = phase_charge_uc(model.waveform, programme.amplitude_ua, programme.pulse_width_us)
    pulse_share = programme.frequency_hz * programme.pulse_width_us * model.pulse_phases / 1e6
    rules = (
        (
            programme.duration_s > limits.daily_s,
            Violation("duration_s", f"{programme.duration_s} is above {limits.daily_s:g} a day"),
        ),
        (
            charge_uc > limits.phase_charge_uc + 1e-9,
            Violation(
                "amplitude_ua",
                f"{charge_uc:.3g} uC a phase is above {limits.phase_charge_uc:g} uC",
            ),
        ),
        (pulse_share > 1, Violation("pulse_width_us", "the pulses overlap")),
        (
            programme.site not in model.sites,
            Violation("site", f"{model.name} is made for {', '.join(model.sites)}"),
        ),
        (programme.on_s > programme.duration_s, Violation("on_s", "longer than the session")),
        (
            programme.ramp_ua_per_s is None,
            Violation("ramp_ua_per_s", "a current is always ramped"),
        ),
    )
    found += [violation for broken, violation in rules if broken]
    if programme.native_level is not None:
        found += _level_violations(model, programme.native_level, programme.amplitude_ua)
    return found


def _level_violations(model: Model, level: int, amplitude_ua: int) -> list[Violation]:
    if model.native_levels is None:
        return [Violation("native_level", f"{model.name} has no levels")]
    if level > model.native_levels:
        return [Violation("native_level", f"{level} is above {model.native_levels}")]
    meant_ua = level * model.level_step_ua
    if amplitude_ua != meant_ua:
        return [Violation("native_level", f"level {level} is {meant_ua} uA, not {amplitude_ua}")]
    return []


def density_ma_per_cm2(model: Model, programme: Programme, limits: Limits) -> float:
    """The rms current density under the electrode while a current flows: at the programme's, or,
    where that is left to titration, at the highest that `limits` allow."""
    return rms_current_density(
        model.waveform,
        programme.amplitude_ua or limits.amplitude_ua,
        programme.frequency_hz,
        programme.pulse_width_us,
        model.electrode_cm2,
    )


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            name="ear_clip",
            title="Ear clip, tragus",
            prefix="EC",
            sites=("tragus",),
            waveform=Pulse(phases=2),
            electrode_cm2=1.0,
            compliance_v=60.0,
            native_levels=45,
            level_step_ua=800,
            usual=Usual(
                frequency_hz=Range(1, 30, 20),
                pulse_width_us=Range(50, 500, 200),
                amplitude_ua=Range(0, 12_000, 0),
                ramp_ua_per_s=Range(100, 1_000, 500),
                on_s=Range(1, 3_600, 3_600),
                off_s=Range(0, 300, 0),
                duration_s=Range(60, 3_600, 3_600),
            ),
            hard=Limits(
                frequency_hz=100,
                pulse_width_us=1_000,
                amplitude_ua=36_000,
                ramp_ua_per_s=1_000,
                duration_s=14_400,
                daily_s=14_400,
                daily_sessions=24,
                phase_charge_uc=7.2,
            ),
        ),
        Model(
            name="ear_cymba",
            title="Ear, cymba conchae",
            prefix="EY",
            sites=("cymba_conchae",),
            waveform=Pulse(phases=2),
            electrode_cm2=0.5,
            compliance_v=60.0,
            native_levels=None,
            level_step_ua=100,
            usual=Usual(
                frequency_hz=Range(1, 30, 25),
                pulse_width_us=Range(50, 500, 250),
                amplitude_ua=Range(0, 5_000, 0),
                ramp_ua_per_s=Range(100, 1_000, 500),
                on_s=Range(1, 60, 30),
                off_s=Range(0, 300, 30),
                duration_s=Range(60, 3_600, 1_800),
            ),
            hard=Limits(
                frequency_hz=100,
                pulse_width_us=1_000,
                amplitude_ua=8_000,
                ramp_ua_per_s=1_000,
                duration_s=14_400,
                daily_s=14_400,
                daily_sessions=24,
                phase_charge_uc=2.5,
            ),
        ),
        Model(
            name="neck",
            title="Neck, cervical vagus",
            prefix="NK",
            sites=("neck",),
            waveform=SineBurst(carrier_hz=5_000),
            electrode_cm2=3.0,
            compliance_v=24.0,
            native_levels=40,
            level_step_ua=1_500,
            usual=Usual(
                frequency_hz=Range(1, 30, 25),
                pulse_width_us=Range(200, 1_000, 1_000),
                amplitude_ua=Range(0, 60_000, 0),
                ramp_ua_per_s=Range(100, 5_000, 2_000),
                on_s=Range(30, 120, 120),
                off_s=Range(0, 300, 0),
                duration_s=Range(30, 120, 120),
            ),
            hard=Limits(
                frequency_hz=100,
                pulse_width_us=1_000,
                amplitude_ua=60_000,
                ramp_ua_per_s=5_000,
                duration_s=120,
                daily_s=2_880,
                daily_sessions=24,
                phase_charge_uc=4.0,
            ),
        ),
    )
}
