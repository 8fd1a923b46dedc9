"""What a simulated stimulator does, also where its model reports none of it.

A model may know no current, width or waveform; the simulation needs some. They stay in here: frames
carry only what a device of the model reports (`reported_programme`, `reported_channels`).
"""

from typing import Any

import msgspec

from cymba.devices.charge import Pulse
from cymba.devices.messages import Programme
from cymba.devices.models import (
    Limits,
    Model,
    Range,
    Usual,
    named,
    programme_members,
    start_members,
)
from simulator.physiology import ELECTRODES, Electrode

# By site, for models that have no electrode of their own in the simulator.
_ELECTRODES = {"neck": "neck", "tragus": "ear_clip", "cymba_conchae": "ear_cymba", "other": "neck"}
_STEP_UA = 400
_USUAL = Usual(
    frequency_hz=Range(low=1, high=30, default=20),
    pulse_width_us=Range(low=50, high=500, default=250),
    on_s=Range(low=1, high=14_400, default=600),
    off_s=Range(low=0, high=300, default=0),
    duration_s=Range(low=60, high=3_600, default=600),
    ramp_ua_per_s=Range(low=100, high=1_000, default=500),
)
_HARD = Limits(
    amplitude_ua=60_000, phase_charge_uc=10.0, daily_s=14_400, daily_sessions=24, duration_s=14_400
)
# Without a current of its own a phone beside the device can read no more than this.
_BY_LEVEL = frozenset({"native_level", "battery_pct", "signal_dbm"})


def electrode_of(model: Model) -> Electrode:
    return ELECTRODES.get(model.name) or ELECTRODES[_ELECTRODES[model.sites[0]]]


def physical(model: Model) -> Model:
    """The model with all that the simulation needs."""
    usual = Usual(**(named(_USUAL) | named(model.usual)))
    hard = Limits(**(named(_HARD) | named(model.hard)))
    step_ua = model.amplitude_step_ua or _STEP_UA
    if model.native_levels is not None:
        most_ua = min(hard.amplitude_ua or 0, model.native_levels * step_ua)
        hard = msgspec.structs.replace(hard, amplitude_ua=most_ua)
    return msgspec.structs.replace(
        model,
        waveform=model.waveform or Pulse(),
        compliance_v=model.compliance_v or 60.0,
        amplitude_step_ua=step_ua,
        usual=usual,
        hard=hard,
    )


def whole_programme(model: Model, programme: Programme) -> Programme:
    """`programme`, with all that it does not say taken from the `physical` model."""
    usual = named(model.usual)
    defaults: dict[str, Any] = {
        name: usual[name].default if name == "frequency_hz" else int(usual[name].default)
        for name in named(_USUAL)
    }
    whole: dict[str, Any] = {"amplitude_ua": 0, "side": "left"} | defaults | named(programme)
    whole["on_s"] = min(whole["on_s"], whole["duration_s"])
    return Programme(**whole)


def reported_programme(model: Model, programme: Programme) -> Programme:
    """Of what a device does, what the start frame of one of the model holds."""
    reported = start_members(model) | programme_members(model)
    if model.knows_current:
        reported |= {"native_level", "sensory_threshold_ua"}
    return msgspec.structs.replace(
        programme, **{name: None for name in Programme.__struct_fields__ if name not in reported}
    )


def reported_channels(model: Model) -> frozenset[str] | None:
    """The channels that a device of the model reports; None: all of them. A person who writes a
    session down, or a phone's timer, has no samples."""
    if model.recorder == "person" or model.reports.current == "unknown":
        return frozenset()
    return _BY_LEVEL if model.reports.current == "by_level" else None
