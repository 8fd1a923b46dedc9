"""The dose that reached the person: time, amplitude or level, charge and pulses.

Pauses and lost contact are left out. Time is that with a current; of a sample without one, that
with a level above 0; of a session that reports neither, that between its own marks: start, end
and the pauses between. What a model does not know stays null.

A session's charge is that of one phase of each pulse, summed over the pulses: `∫ Q(I) · f dt`, with
Q from `cymba.devices.charge`. Each sample stands for its interval, so a ramp is summed as steps.
Where a device counts pulses or charge itself, its counters are used instead
(`cymba.stimulation.session.counters`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cymba.devices.charge import SineBurst, Waveform, phase_charge_uc
from cymba.devices.messages import Programme
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.counters import Count
from cymba.stimulation.session.timeline import Floats, Milliseconds, Timeline
from cymba.stimulation.session.timing import Timing
from cymba.stimulation.wire.messages import EventFrame

SHORT_OHM = 200  # less is a short circuit, and no electrode on a skin
START_MS = 60_000
LEAST_AT_START = 3  # readings
LEAD_OFF_OHM = 20_000  # where every model stops
MIN_HEART_READINGS = 10  # fewer give no mean heart rate

# By store and boot: the first and the last moment, in milliseconds since 1970.
_Boots = dict[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Dose:
    """Some of the derived columns of `stimulation_session`, by the same names."""

    stimulating_s: float | None
    contact_lost_s: float
    delivered_charge_uc: float | None
    pulses: int | None
    mean_amplitude_ua: float | None
    max_amplitude_ua: int | None
    mean_native_level: float | None
    max_native_level: int | None
    mean_impedance_ohm: float | None
    start_impedance_ohm: float | None
    heart_rate_before_bpm: float | None
    heart_rate_during_bpm: float | None


def dose(
    samples: Timeline,
    ordered: Sequence[ReadFrame],
    timing: Timing,
    programme: Programme | None,
    waveform: Waveform | None,
    *,
    counts: Mapping[str, Count],
    has_marks: bool,
) -> Dose:
    """Aggregate `samples`. `ordered` are the session's frames in time order, for their events.

    In an off phase or a pause the amplitude is zero, or a `pause` event says so. `has_marks`: its
    start and all between it and its last frame are here, so they show how long it was.
    """
    nothing = np.full(samples.at_ms.size, np.nan)
    impedance = samples.columns.get("impedance_ohm", nothing)
    high = impedance > LEAD_OFF_OHM
    boots = _boots(ordered, timing)
    off = _between(ordered, timing, boots, "lead_off", "lead_on")
    pauses = _between(ordered, timing, boots, "pause", "resume")
    contact = ~(high | _inside(samples.at_ms, off))
    flows = contact & ~_inside(samples.at_ms, pauses)
    amplitude = _amplitude(samples, nothing)
    level = samples.columns.get("native_level", nothing)
    strength = np.where(np.isnan(amplitude), level, amplitude)
    tells_strength = not np.isnan(strength).all()
    seconds = samples.interval_ms / 1000
    untouched = np.stack([samples.at_ms, samples.at_ms + samples.interval_ms], axis=1)[high]
    lost = np.concatenate([off, untouched])
    stimulating_s: float | None = None
    if tells_strength:
        stimulating = (strength > 0) & flows
        stimulating_s = float(seconds[stimulating].sum())
    elif has_marks:
        stimulating = flows
        still = np.concatenate([lost, pauses])
        stimulating_s = _outside_ms(_rows(boots.values()), still) / 1000
    else:
        stimulating = np.zeros(samples.at_ms.size, dtype=np.bool_)
    with_current = stimulating & (amplitude > 0)
    before, during = _heart_rates(samples, stimulating, nothing)
    charge, pulses = counts.get("charge_uc"), counts.get("pulses")
    ua_s = float(amplitude[with_current] @ seconds[with_current])
    current_s = float(seconds[with_current].sum())
    tells_current = not np.isnan(amplitude).all()
    return Dose(
        stimulating_s=stimulating_s,
        contact_lost_s=_covered_ms(lost) / 1000,
        delivered_charge_uc=charge.total
        if charge
        else _charge_uc(programme, waveform, ua_s)
        if tells_current
        else None,
        pulses=round(pulses.total)
        if pulses
        else _pulses(programme, current_s)
        if tells_current
        else None,
        mean_amplitude_ua=_weighted(amplitude, with_current, seconds),
        max_amplitude_ua=_highest(amplitude, with_current),
        mean_native_level=_weighted(level, stimulating & (level > 0), seconds),
        max_native_level=_highest(level, stimulating & (level > 0)),
        mean_impedance_ohm=_mean(impedance[contact]),
        start_impedance_ohm=_at_start(samples.at_ms, impedance, contact),
        heart_rate_before_bpm=before,
        heart_rate_during_bpm=during,
    )


def _at_start(at_ms: Milliseconds, impedance: Floats, contact: NDArray[np.bool_]) -> float | None:
    """The median of the first minute's readings with contact: it falls from then on."""
    known = contact & (impedance >= SHORT_OHM)
    if not known.any():
        return None
    first = known & (at_ms < at_ms[known][0] + START_MS)
    return float(np.median(impedance[first])) if first.sum() >= LEAST_AT_START else None


def _amplitude(samples: Timeline, nothing: Floats) -> Floats:
    """The delivered amplitude where the device measures it, else the one it was set to."""
    delivered = samples.columns.get("amplitude_delivered_ua", nothing)
    return np.where(np.isnan(delivered), samples.columns.get("amplitude_ua", nothing), delivered)


def _charge_uc(programme: Programme | None, waveform: Waveform | None, ua_s: float) -> float | None:
    if programme is None or waveform is None:
        return None
    width_us, frequency_hz = programme.pulse_width_us, programme.frequency_hz
    if width_us is None or frequency_hz is None:
        return None
    cycles = 1.0
    if isinstance(waveform, SineBurst):
        cycles = waveform.carrier_hz * width_us * 1e-6  # of one burst
    return ua_s * phase_charge_uc(waveform, 1.0, width_us) * cycles * frequency_hz


def _pulses(programme: Programme | None, current_s: float) -> int | None:
    if programme is None or programme.frequency_hz is None:
        return None
    return round(current_s * programme.frequency_hz)


def _weighted(values: Floats, which: NDArray[np.bool_], seconds: Floats) -> float | None:
    return float(np.average(values[which], weights=seconds[which])) if which.any() else None


def _highest(values: Floats, which: NDArray[np.bool_]) -> int | None:
    return int(values[which].max()) if which.any() else None


def _heart_rates(
    samples: Timeline, stimulating: NDArray[np.bool_], nothing: Floats
) -> tuple[float | None, float | None]:
    """Mean heart rate before stimulation began, and from its first to its last moment."""
    heart = samples.columns.get("heart_rate_bpm", nothing)
    at = np.flatnonzero(stimulating)
    if at.size == 0:
        return _mean(heart, MIN_HEART_READINGS), None
    before, during = heart[: at[0]], heart[at[0] : at[-1] + 1]
    return _mean(before, MIN_HEART_READINGS), _mean(during, MIN_HEART_READINGS)


def _mean(values: Floats, at_least: int = 1) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size >= at_least else None


def _boots(ordered: Sequence[ReadFrame], timing: Timing) -> _Boots:
    spans: _Boots = {}
    for read in ordered:
        key = (read.frame.store, read.frame.boot)
        at_ms, last_ms = timing.at_ms(read.frame), timing.last_ms(read.frame)
        first, last = spans.get(key, (at_ms, last_ms))
        spans[key] = (min(first, at_ms), max(last, last_ms))
    return spans


def _between(
    ordered: Sequence[ReadFrame], timing: Timing, boots: _Boots, opening: str, closing: str
) -> Milliseconds:
    """The times from each `opening` event to its `closing` one, as rows of begin and end in
    milliseconds since 1970. One that is never closed ends with the last frame of its boot."""
    rows: list[tuple[int, int]] = []
    opened: dict[tuple[int, int], int] = {}
    for read in ordered:
        if isinstance(read.frame, EventFrame):
            key = (read.frame.store, read.frame.boot)
            if read.frame.event.name == opening:
                opened.setdefault(key, timing.at_ms(read.frame))
            elif read.frame.event.name == closing and key in opened:
                rows.append((opened.pop(key), timing.at_ms(read.frame)))
    rows += [(begin_ms, boots[key][1]) for key, begin_ms in opened.items()]
    return _rows(rows)


def _rows(spans: Collection[tuple[int, int]]) -> Milliseconds:
    return np.array(list(spans), dtype=np.int64).reshape(-1, 2)


def _inside(at_ms: Milliseconds, spans: Milliseconds) -> NDArray[np.bool_]:
    """Which moments lie in any of `spans`. A span includes its beginning, and not its end."""
    begun = np.searchsorted(np.sort(spans[:, 0]), at_ms, side="right")
    ended = np.searchsorted(np.sort(spans[:, 1]), at_ms, side="right")
    return begun > ended


def _outside_ms(spans: Milliseconds, still: Milliseconds) -> float:
    """How much of the union of `spans` lies outside `still`."""
    return _covered_ms(np.concatenate([spans, still])) - _covered_ms(still)


def _covered_ms(spans: Milliseconds) -> float:
    """The length of the union of `spans`."""
    if spans.size == 0:
        return 0.0
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(spans[:, 1])
    reached_before = np.concatenate([spans[:1, 0], reached[:-1]])
    return float(np.maximum(reached - np.maximum(spans[:, 0], reached_before), 0).sum())
