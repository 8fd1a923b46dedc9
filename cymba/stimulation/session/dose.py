"""The dose that reached the person: charge, pulses, time and amplitude.

Pauses and lost contact are left out. A session's charge is that of one phase of each pulse, summed
over the pulses: `∫ Q(I) · f dt`, with Q from `cymba.devices.charge`. Each sample stands for its
interval, so a ramp is summed as steps. Where a device counts pulses or charge itself, its counters
are used instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cymba.devices.charge import SineBurst, Waveform, phase_charge_uc
from cymba.devices.messages import Programme
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.timeline import Floats, Milliseconds, Timeline
from cymba.stimulation.session.timing import Timing, last_up
from cymba.stimulation.wire.messages import EventFrame

LEAD_OFF_OHM = 20_000  # where every model stops
MIN_HEART_READINGS = 10  # fewer give no mean heart rate


@dataclass(frozen=True, slots=True)
class Dose:
    """Some of the derived columns of `stimulation_session`, by the same names."""

    stimulating_s: float
    contact_lost_s: float
    delivered_charge_uc: float | None
    pulses: int | None
    mean_amplitude_ua: float | None
    max_amplitude_ua: int | None
    mean_impedance_ohm: float | None
    heart_rate_before_bpm: float | None
    heart_rate_during_bpm: float | None


def dose(
    samples: Timeline,
    ordered: Sequence[ReadFrame],
    timing: Timing,
    programme: Programme | None,
    waveform: Waveform,
) -> Dose:
    """Aggregate `samples`. `ordered` are the session's frames in time order, for their events.

    In an off phase or a pause the amplitude is zero, or a `pause` event says so.
    """
    nothing = np.full(samples.at_ms.size, np.nan)
    impedance = samples.columns.get("impedance_ohm", nothing)
    high = impedance > LEAD_OFF_OHM
    off = _between(ordered, timing, "lead_off", "lead_on")
    paused = _between(ordered, timing, "pause", "resume")
    contact = ~(high | _inside(samples.at_ms, off))
    amplitude = _amplitude(samples, nothing)
    stimulating = (amplitude > 0) & contact & ~_inside(samples.at_ms, paused)
    current = amplitude[stimulating]
    seconds = samples.interval_ms[stimulating] / 1000
    stimulating_s = float(seconds.sum())
    untouched = np.stack([samples.at_ms, samples.at_ms + samples.interval_ms], axis=1)[high]
    before, during = _heart_rates(samples, stimulating, nothing)
    return Dose(
        stimulating_s=stimulating_s,
        contact_lost_s=_covered_ms(np.concatenate([off, untouched])) / 1000,
        delivered_charge_uc=_charge_uc(samples, programme, waveform, float(current @ seconds)),
        pulses=_pulses(samples, programme, stimulating_s),
        mean_amplitude_ua=float(np.average(current, weights=seconds)) if current.size else None,
        max_amplitude_ua=int(current.max()) if current.size else None,
        mean_impedance_ohm=_mean(impedance[contact]),
        heart_rate_before_bpm=before,
        heart_rate_during_bpm=during,
    )


def _amplitude(samples: Timeline, nothing: Floats) -> Floats:
    """The delivered amplitude where the device measures it, else the one it was set to."""
    delivered = samples.columns.get("amplitude_delivered_ua", nothing)
    return np.where(np.isnan(delivered), samples.columns.get("amplitude_ua", nothing), delivered)


def _charge_uc(
    samples: Timeline, programme: Programme | None, waveform: Waveform, ua_s: float
) -> float | None:
    counted = _counted(samples, "charge_uc")
    if counted is not None:
        return counted
    if programme is None or not _has_amplitude(samples):
        return None
    cycles = 1.0
    if isinstance(waveform, SineBurst):
        cycles = waveform.carrier_hz * programme.pulse_width_us * 1e-6  # of one burst
    return (
        ua_s
        * phase_charge_uc(waveform, 1.0, programme.pulse_width_us)
        * cycles
        * programme.frequency_hz
    )


def _pulses(samples: Timeline, programme: Programme | None, stimulating_s: float) -> int | None:
    counted = _counted(samples, "pulses")
    if counted is not None:
        return round(counted)
    if programme is None or not _has_amplitude(samples):
        return None
    return round(stimulating_s * programme.frequency_hz)


def _has_amplitude(samples: Timeline) -> bool:
    return not samples.columns.keys().isdisjoint({"amplitude_ua", "amplitude_delivered_ua"})


def _counted(samples: Timeline, channel: str) -> float | None:
    """The total of a counter. It never falls within a boot; a lower value after a reboot means that
    it was reset."""
    values = samples.columns.get(channel)
    if values is None:
        return None
    known = ~np.isnan(values)
    total, reached = 0.0, 0.0
    for boot in np.unique(samples.boot[known]):
        of_boot = values[known & (samples.boot == boot)]
        if of_boot[0] < reached:
            total += reached
        reached = float(of_boot.max())
    return total + reached if known.any() else None


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


def _between(
    ordered: Sequence[ReadFrame], timing: Timing, opening: str, closing: str
) -> Milliseconds:
    """The times from each `opening` event to its `closing` one, as rows of begin and end in
    milliseconds since 1970. One that is never closed ends with the last frame of its boot."""
    lasts: dict[tuple[int, int], int] = {}
    for read in ordered:
        key = (read.frame.store, read.frame.boot)
        last_ms = timing.at_ms(read.frame) + last_up(read.frame) - read.frame.up
        lasts[key] = max(lasts.get(key, last_ms), last_ms)
    rows: list[tuple[int, int]] = []
    opened: dict[tuple[int, int], int] = {}
    for read in ordered:
        if isinstance(read.frame, EventFrame):
            key = (read.frame.store, read.frame.boot)
            at_ms = timing.at_ms(read.frame)
            if read.frame.event.name == opening:
                opened.setdefault(key, at_ms)
            elif read.frame.event.name == closing and key in opened:
                rows.append((opened.pop(key), at_ms))
    rows += [(begin_ms, lasts[key]) for key, begin_ms in opened.items()]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _inside(at_ms: Milliseconds, spans: Milliseconds) -> NDArray[np.bool_]:
    """Which moments lie in any of `spans`. A span includes its beginning, and not its end."""
    begun = np.searchsorted(np.sort(spans[:, 0]), at_ms, side="right")
    ended = np.searchsorted(np.sort(spans[:, 1]), at_ms, side="right")
    return begun > ended


def _covered_ms(spans: Milliseconds) -> float:
    """The length of the union of `spans`."""
    if spans.size == 0:
        return 0.0
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(spans[:, 1])
    reached_before = np.concatenate([spans[:1, 0], reached[:-1]])
    return float(np.maximum(reached - np.maximum(spans[:, 0], reached_before), 0).sum())
