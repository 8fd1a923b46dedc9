"""The device models: what each reports of a session, what can be set, and its hard limits.

A model is a document; those in `shipped_models/` come with Cymba. The usual ranges are what the app
offers; the hard limits are the model's own: a server may narrow them for a device and never widen
them. No limit here proves safety.

What nobody measures is null. A model that reports only a level has no current, charge or density.
Levels and amplitudes of different models are never comparable: electrode, waveform and site differ.
"""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from cymba.devices.charge import Pulse, Waveform, phase_charge_uc, rms_current_density
from cymba.devices.messages import Programme, ShortText, Site
from cymba.voice import said

Figure = Annotated[float, Meta(ge=0, le=1e6)]
ModelName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{1,31}$(?!\n)")]
Recorder = Literal["device", "phone", "person"]
Known = Literal["known", "unknown"]
Settable = Literal[
    "frequency_hz",
    "pulse_width_us",
    "amplitude_ua",
    "on_s",
    "off_s",
    "duration_s",
    "side",
    "ramp_ua_per_s",
    "native_level",
]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a model's document: a member that it does not name is a mistake of its writer."""


class Range(_Part, frozen=True, kw_only=True):
    low: Figure
    high: Figure
    default: Figure


class Usual(_Part, frozen=True, kw_only=True):
    """The ranges that the app offers of what can be set."""

    frequency_hz: Range | None = None
    pulse_width_us: Range | None = None
    amplitude_ua: Range | None = None
    native_level: Range | None = None
    ramp_ua_per_s: Range | None = None
    on_s: Range | None = None
    off_s: Range | None = None
    duration_s: Range | None = None


class Limits(_Part, frozen=True, kw_only=True):
    """Upper bounds that a device enforces. These are the names in the `limits` of `desired`; one
    that is null does not exist for the model."""

    frequency_hz: Figure | None = None
    pulse_width_us: Figure | None = None
    amplitude_ua: Figure | None = None
    native_level: Figure | None = None
    ramp_ua_per_s: Figure | None = None
    duration_s: Figure | None = None  # of one session
    daily_s: Figure | None = None  # of all sessions in any 24 h
    daily_sessions: Figure | None = None
    phase_charge_uc: Figure | None = None


LIMIT_NAMES = Limits.__struct_fields__
OUTPUT_LIMIT: Mapping[str, str] = {
    "known": "amplitude_ua",
    "by_level": "native_level",
    "unknown": "daily_sessions",
}
"""By what a model reports of its current: the limit that stops all output where it is 0."""


class Reports(_Part, frozen=True, kw_only=True):
    """What is known of each session. `current`: `by_level` where only a level is reported, and
    `unknown` where neither is."""

    current: Literal["known", "by_level", "unknown"]
    frequency: Known = "unknown"
    pulse_width: Known = "unknown"


class Model(_Part, frozen=True, kw_only=True):
    name: ModelName
    version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    titles: dict[Annotated[str, Meta(pattern=r"^[a-z]{2}$(?!\n)")], ShortText]  # by language
    prefix: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")]  # of its serial numbers
    sites: Annotated[tuple[Site, ...], Meta(min_length=1)]
    recorder: Recorder  # who writes its sessions down: the device, a phone beside it, the person
    reports: Reports
    settable: tuple[Settable, ...] = ()  # by a programme; none: it takes no programme
    waveform: Waveform | None = None  # null: not known
    electrode_cm2: Annotated[float, Meta(gt=0, le=1_000)] | None = None
    compliance_v: Figure | None = None
    native_levels: Annotated[int, Meta(ge=1, le=1_000)] | None = None  # of the device's own scale
    amplitude_step_ua: Annotated[int, Meta(ge=1, le=60_000)] | None = None  # one level, or a step
    usual: Usual = Usual()
    hard: Limits = Limits()
    # Where each figure comes from, by its name (`hard.duration_s`) or its group's (`hard`).
    sources: dict[str, Annotated[str, Meta(min_length=1, max_length=500)]] = {}

    @property
    def title(self) -> str:
        return self.titles["en"]

    @property
    def knows_current(self) -> bool:
        return self.reports.current == "known"

    @property
    def pulse_phases(self) -> int:
        return self.waveform.phases if isinstance(self.waveform, Pulse) else 1


class Violation(Struct, frozen=True):
    """A field of a programme or of its limits that goes beyond what is allowed."""

    field: str
    detail: str


ATTENTION_DENSITY_MA_PER_CM2 = 2.0
"""From here on IEC 60601-2-10 wants the operator's attention: flagged, not refused."""


def named(part: Limits | Usual | Programme) -> dict[str, Any]:
    """Those of its members that are not null."""
    return {
        name: value for name in part.__struct_fields__ if (value := getattr(part, name)) is not None
    }


def programme_members(model: Model) -> frozenset[str]:
    """What a programme for the model must name. Where the current is known, a level beside it
    may be left out."""
    beside_current = {"native_level"} if model.knows_current else set()
    return frozenset({"site", *model.settable} - beside_current)


def start_members(model: Model) -> frozenset[str]:
    """What the start frame of a session must hold: all that can be set, and all that is known."""
    known = {
        "frequency_hz": model.reports.frequency == "known",
        "pulse_width_us": model.reports.pulse_width == "known",
        "amplitude_ua": model.knows_current,
        "native_level": model.reports.current == "by_level",
    }
    reported = {name for name, is_known in known.items() if is_known}
    return (programme_members(model) | reported) - {"ramp_ua_per_s"}


def usual_programme(model: Model) -> Programme:
    """The model's default programme, which leaves amplitude or level to titration."""
    usual = named(model.usual)
    set_to: dict[str, Any] = {
        name: usual[name].default if name == "frequency_hz" else int(usual[name].default)
        for name in programme_members(model)
        if name in usual
    }
    for name in ("amplitude_ua", "native_level"):
        if name in programme_members(model):
            set_to[name] = 0
    if "side" in model.settable:
        set_to["side"] = "left"
    return Programme(site=model.sites[0], **set_to)


def without_output(programme: Programme) -> Programme:
    """The programme with its amplitude or level at 0: by itself that leaves it to titration."""
    is_by_level = programme.amplitude_ua is None and programme.native_level is not None
    return msgspec.structs.replace(
        programme,
        amplitude_ua=None if programme.amplitude_ua is None else 0,
        native_level=0 if is_by_level else None,
    )


def no_output_limit(model: Model) -> dict[str, float]:
    """The limit that lets nothing flow."""
    return {OUTPUT_LIMIT[model.reports.current]: 0}


def allows_no_output(limits: Mapping[str, float]) -> bool:
    return 0 in {limits.get(name) for name in OUTPUT_LIMIT.values()}


def widened(model: Model, limits: Mapping[str, float]) -> list[Violation]:
    """Where `limits` name what the model does not have, or reach past its hard limits."""
    hard = named(model.hard)
    violations = []
    for name, value in limits.items():
        if name not in hard:
            violations.append(Violation(name, said("{name} has no such limit", name=model.name)))
        elif not 0 <= value <= hard[name]:
            violations.append(
                Violation(
                    name, said("{value} is not within 0 … {limit}", value=value, limit=hard[name])
                )
            )
    return violations


def narrowed(model: Model, limits: Mapping[str, float]) -> Limits:
    """The limits that hold: of each the narrower, `limits` where given and the model's."""
    hard = named(model.hard)
    return Limits(**{name: min(value, limits.get(name, value)) for name, value in hard.items()})


def violations(model: Model, programme: Programme, limits: Limits) -> list[Violation]:
    """Where `programme` goes beyond `limits` or what the model can do at all; none is fine."""
    found = [
        Violation(name, said("{value} is above {limit}", value=value, limit=limit))
        for name, limit in named(limits).items()
        if (value := getattr(programme, name, None)) is not None and value > limit
    ]
    found += _members_violations(model, programme)
    found += [violation for broken, violation in _rules(model, programme, limits) if broken]
    if programme.native_level is not None and "native_level" not in {one.field for one in found}:
        found += _level_violations(model, programme.native_level, programme.amplitude_ua)
    return found


def _members_violations(model: Model, programme: Programme) -> Iterator[Violation]:
    needed = programme_members(model)
    # A threshold is noted beside a current, and set by nothing.
    taken = (
        needed | {*model.settable} | ({"sensory_threshold_ua"} if model.knows_current else set())
    )
    for name in Programme.__struct_fields__:
        is_given = getattr(programme, name) is not None
        if name == "ramp_ua_per_s" and name in needed and not is_given:
            yield Violation(name, "a current is always ramped")
        elif name in needed and not is_given:
            yield Violation(name, said("a programme for {name} needs it", name=model.name))
        elif name == "native_level" and is_given and model.native_levels is None:
            yield Violation(name, said("{name} has no levels", name=model.name))
        elif is_given and name not in taken:
            yield Violation(name, said("it cannot be set on {name}", name=model.name))


def _rules(model: Model, programme: Programme, limits: Limits) -> Iterator[tuple[bool, Violation]]:
    """Rules between members, of those that are given: whether each is broken."""
    duration_s, width_us = programme.duration_s, programme.pulse_width_us
    if duration_s is not None and limits.daily_s is not None:
        yield (
            duration_s > limits.daily_s,
            Violation(
                "duration_s",
                said(
                    "{duration_s} is above {daily_s} a day",
                    duration_s=duration_s,
                    daily_s=limits.daily_s,
                ),
            ),
        )
    if programme.amplitude_ua is not None and width_us is not None and model.waveform is not None:
        charge_uc = phase_charge_uc(model.waveform, programme.amplitude_ua, width_us)
        most_uc = limits.phase_charge_uc
        yield (
            most_uc is not None and charge_uc > most_uc + 1e-9,
            Violation(
                "amplitude_ua",
                said(
                    "{charge_uc} uC a phase is above {most} uC",
                    charge_uc=float(f"{charge_uc:.3g}"),
                    most=most_uc or 0,
                ),
            ),
        )
    if programme.frequency_hz is not None and width_us is not None:
        pulse_share = programme.frequency_hz * width_us * model.pulse_phases / 1e6
        yield pulse_share > 1, Violation("pulse_width_us", "the pulses overlap")
    yield (
        programme.site not in model.sites,
        Violation(
            "site",
            said("{name} is made for {names}", name=model.name, names=", ".join(model.sites)),
        ),
    )
    if programme.on_s is not None and duration_s is not None:
        yield programme.on_s > duration_s, Violation("on_s", "longer than the session")


def _level_violations(model: Model, level: int, amplitude_ua: int | None) -> Iterator[Violation]:
    if model.native_levels is not None and level > model.native_levels:
        yield Violation(
            "native_level",
            said(
                "{level} is above {native_levels}", level=level, native_levels=model.native_levels
            ),
        )
    elif amplitude_ua is not None and model.amplitude_step_ua is not None:
        meant_ua = level * model.amplitude_step_ua
        if amplitude_ua != meant_ua:
            detail = said(
                "level {level} is {meant_ua} uA, not {amplitude_ua}",
                level=level,
                meant_ua=meant_ua,
                amplitude_ua=amplitude_ua,
            )
            yield Violation("native_level", detail)


def density_ma_per_cm2(model: Model, programme: Programme, limits: Limits) -> float | None:
    """The rms current density under the electrode while a current flows: at the programme's, or,
    where that is left to titration, at the highest that `limits` allow. None where it is not
    known: not the current, the pulses, or the electrode."""
    current_ua = programme.amplitude_ua or limits.amplitude_ua
    if (
        programme.amplitude_ua is None
        or current_ua is None
        or programme.frequency_hz is None
        or programme.pulse_width_us is None
        or model.waveform is None
        or model.electrode_cm2 is None
    ):
        return None
    return rms_current_density(
        model.waveform,
        current_ua,
        programme.frequency_hz,
        programme.pulse_width_us,
        model.electrode_cm2,
    )


def _shipped() -> Iterator[Model]:
    for path in sorted((Path(__file__).parent / "shipped_models").glob("*.toml")):
        yield msgspec.convert(tomllib.loads(path.read_text()), Model)


MODELS: dict[str, Model] = {model.name: model for model in _shipped()}
"""The models that come with Cymba."""
