"""Simulated sensor readings of a person: contact, heart, skin.

Every figure is the simulator's choice, plausible for such devices, and not a medical claim.
Seconds run along the first axis of every array.
"""

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from simulator.seeding import chance

Floats = NDArray[np.float64]

# AR(1) of the heart rate from second to second, before respiration is added.
HEART_RATE_PHI = 0.97
SETTLING_S = 40.0
"""Time constant of the first drop of impedance, complete after about two minutes."""
LEAD_OFF_HZ = 1 / 3600


@dataclass(frozen=True, slots=True)
class Body:
    """One person, as seen by the electrode and the pulse sensor."""

    resting_heart_rate_bpm: float
    heart_rate_sd_bpm: float
    breaths_hz: float
    breath_depth_bpm: float
    response_bpm: float  # mean change of the heart rate under stimulation
    recovery_s: float  # time constant of its rise and fall
    ectopic_share: float  # of beats that come early, as the sensor sees them
    impedance_ohm: float
    sensory_threshold_ua: float
    discomfort_ratio: float  # discomfort over sensory threshold
    skin_temp_mc: float


@dataclass(frozen=True, slots=True)
class Electrode:
    """Typical values of a model's electrode on skin."""

    impedance_ohm: float
    sensory_threshold_ua: float


# By model name. A neck electrode is large and gelled, a clip's is small.
ELECTRODES: dict[str, Electrode] = {
    "ear_clip": Electrode(impedance_ohm=2200.0, sensory_threshold_ua=2400.0),
    "ear_cymba": Electrode(impedance_ohm=2900.0, sensory_threshold_ua=900.0),
    "neck": Electrode(impedance_ohm=450.0, sensory_threshold_ua=7000.0),
}


def draw_body(electrode: Electrode, rng: np.random.Generator) -> Body:
    """A person under `electrode`.

    Over people the response to stimulation has mean -0.5 and SD 3 /min: one in six responds by
    -2 to -6, one in ten not at all.
    """
    kind = rng.random()
    if kind < 0.175:
        response = rng.uniform(-6.0, -2.0)
    elif kind < 0.275:
        response = 0.0
    else:
        response = rng.normal(0.27, 2.9)
    return Body(
        resting_heart_rate_bpm=float(np.clip(rng.normal(68.0, 8.0), 50.0, 95.0)),
        heart_rate_sd_bpm=float(rng.uniform(1.5, 3.5)),
        breaths_hz=float(rng.uniform(0.2, 0.3)),
        breath_depth_bpm=float(rng.uniform(1.0, 3.5)),
        response_bpm=float(response),
        recovery_s=float(rng.uniform(60.0, 120.0)),
        ectopic_share=float(rng.choice([0.0005, 0.002, 0.02], p=[0.6, 0.3, 0.1])),
        impedance_ohm=electrode.impedance_ohm * float(np.clip(rng.lognormal(0, 0.22), 0.55, 2.0)),
        sensory_threshold_ua=electrode.sensory_threshold_ua * float(rng.lognormal(0.0, 0.25)),
        discomfort_ratio=float(rng.uniform(1.8, 3.2)),
        skin_temp_mc=float(rng.normal(33_000.0, 700.0)),
    )


def contact_impedance(body: Body, seconds: int, rng: np.random.Generator) -> Floats:
    """Ohms of an electrode that stays on, second by second.

    It falls by a tenth in the first two minutes, then rises by 0.5-2 % a minute as the gel dries;
    movement lifts it for some seconds.
    """
    t = np.arange(seconds, dtype=np.float64)
    seated = body.impedance_ohm * rng.lognormal(0.0, 0.12)
    drying_per_s = rng.uniform(0.005, 0.02) / 60.0
    ohm = seated * (0.9 + 0.1 * np.exp(-t / SETTLING_S))
    ohm *= 1.0 + drying_per_s * np.maximum(t - 120.0, 0.0)
    ohm *= rng.lognormal(0.0, 0.008, seconds)
    for _ in range(rng.poisson(seconds / 300.0)):
        start = int(rng.integers(seconds))
        ohm[start : start + int(rng.integers(1, 5))] *= rng.uniform(1.2, 2.0)
    return ohm


def heart_rate(body: Body, drive: Floats, rng: np.random.Generator) -> Floats:
    """Beats a minute under `drive`, the share of its programme at which stimulation runs.

    AR(1) plus respiration plus a first-order response to stimulation that decays with
    `body.recovery_s`.
    """
    seconds = len(drive)
    if seconds == 0:
        return np.zeros(0)
    noise = rng.normal(0.0, body.heart_rate_sd_bpm, seconds)
    noise[1:] *= np.sqrt(1.0 - HEART_RATE_PHI**2)  # the first is drawn from the stationary law
    wander = _remembered(noise, HEART_RATE_PHI)
    breathing = np.cumsum(2 * np.pi * body.breaths_hz * rng.normal(1.0, 0.05, seconds))
    today = body.response_bpm + (rng.normal(0.0, 0.8) if body.response_bpm else 0.0)
    step = 1.0 - np.exp(-1.0 / body.recovery_s)
    answer = _remembered(step * (drive * today), 1.0 - step)
    rate = body.resting_heart_rate_bpm + wander + answer
    rate = rate + body.breath_depth_bpm * np.sin(breathing)
    return np.clip(rate, 38.0, 180.0)


def _remembered(values: Floats, kept: float) -> Floats:
    """Each value plus the share `kept` of what came of the one before. SciPy's `lfilter` does the
    same, but to import it takes longer than to start everything else of a device."""
    return np.array(list(accumulate(values.tolist(), lambda last, value: value + kept * last)))


def beats(body: Body, rate_bpm: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """When each beat fell (seconds) and the interval that led to it (ms).

    The rate is integrated; every whole number of it is a beat. An early beat is followed by a
    compensating pause.
    """
    phase = np.concatenate(([0.0], np.cumsum(rate_bpm / 60.0)))
    count = int(phase[-1])
    if count < 2:
        return np.zeros(0), np.zeros(0)
    at_s = np.interp(np.arange(count + 1), phase, np.arange(len(phase)))
    at_s[1:] += rng.normal(0.0, 0.006, count)
    early = rng.random(count + 1) < body.ectopic_share
    early[0] = False
    at_s[early] -= 0.28 * 60.0 / body.resting_heart_rate_bpm
    at_s = np.sort(at_s)
    return at_s[1:], np.clip(np.diff(at_s) * 1000.0, 220.0, 2900.0)


def sensor_gaps(seconds: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Where the optical sensor finds no pulse: bursts of 3-20 s, about 1 % of the time."""
    lost = np.zeros(seconds, dtype=np.bool_)
    for _ in range(rng.poisson(seconds / 1000.0)):
        start = int(rng.integers(seconds))
        lost[start : start + int(rng.integers(3, 20))] = True
    return lost


def skin_temperature(body: Body, seconds: int, rng: np.random.Generator) -> Floats:
    """Thousandths of a degree Celsius: skin warms by up to a degree under the electrode."""
    t = np.arange(seconds, dtype=np.float64)
    warming = rng.uniform(300.0, 1000.0)
    return body.skin_temp_mc + warming * (1.0 - np.exp(-t / 300.0)) + rng.normal(0, 40.0, seconds)


def lead_off_times(seconds: int, rng: np.random.Generator) -> list[int]:
    """The seconds at which the electrode comes off: about once an hour."""
    return sorted(
        int(s) for s in rng.integers(0, max(seconds, 1), rng.poisson(seconds * LEAD_OFF_HZ))
    )


def reseated(rng: np.random.Generator) -> int | None:
    """Seconds until the electrode is put back; None for the three in ten who never do."""
    return int(rng.integers(8, 45)) if chance(rng, 0.7) else None
