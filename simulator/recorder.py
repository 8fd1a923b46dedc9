"""Writing a session into frames: rates of the channels, columns, counters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cymba.devices.charge import Pulse, phase_charge_uc
from cymba.devices.messages import Programme
from cymba.devices.models import Model
from cymba.stimulation.wire.messages import Column, Columns, Event
from simulator import physiology
from simulator.faults import Firmware
from simulator.physical import physical, reported_channels
from simulator.physiology import Body
from simulator.stimulator import SessionCourse

COUNTERS_EVERY_S = 10
SLOW_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class Chunk:
    """The seconds `first_s` … `first_s + n - 1` of a session: the content of one frame."""

    first_s: int
    n: int
    columns: Columns


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, before second `at_s` of the session."""

    at_s: int
    event: Event


@dataclass(frozen=True, slots=True)
class _Track:
    """A channel over the whole session, compact because a fleet holds many of these."""

    values: NDArray[np.int32]
    known: NDArray[np.bool_] | None = None  # None: all of them

    def cut(self, first: int, end: int) -> Column:
        values: Column = self.values[first:end].tolist()
        if self.known is None:
            return values
        known = self.known[first:end].tolist()
        return [value if is_known else None for value, is_known in zip(values, known, strict=True)]


class Recorder:
    """A session's readings, to be cut into frames."""

    def __init__(
        self,
        course: SessionCourse,
        programme: Programme,
        model: Model,
        body: Body,
        firmware: Firmware,
        *,
        rng: np.random.Generator,
        wrong_units: bool = False,
    ) -> None:
        self.course = course
        seconds = course.seconds
        rate = physiology.heart_rate(body, course.drive, rng)
        at_s, intervals_ms = physiology.beats(body, rate, rng)
        pulseless = physiology.sensor_gaps(seconds, rng)
        seen = ~pulseless[np.minimum(at_s.astype(np.int64), seconds - 1)]
        self._beat_at_s, self._beats = at_s, _Track(_whole(intervals_ms), seen)
        whole = physical(model)
        frequency_hz = programme.frequency_hz or 0.0
        width_us = programme.pulse_width_us or 0
        charge_uc = phase_charge_uc(whole.waveform or Pulse(), 1.0, width_us) * frequency_hz
        flowing = course.delivered_ua > 0
        set_ua, ohm = course.set_ua, course.impedance_ohm
        most_mv = int((whole.compliance_v or 0) * 1000)
        peak_mv = np.minimum(course.delivered_ua * ohm // 1000, most_mv)
        if wrong_units:
            set_ua, ohm = set_ua // 1000, ohm // 1000
        signal_dbm = np.clip(rng.normal(-62.0, 6.0, seconds), -100, -30)
        temperature = physiology.skin_temperature(body, seconds, rng)
        oxygen = np.clip(rng.normal(97.2, 0.8, seconds), 90, 100)
        charge = np.cumsum(course.delivered_ua * charge_uc)
        pulses = np.cumsum(flowing * frequency_hz)
        tracks = {
            "amplitude_ua": _Track(_whole(set_ua)),
            "amplitude_delivered_ua": _Track(_whole(course.delivered_ua)),
            "native_level": _Track(_whole(course.set_ua // (whole.amplitude_step_ua or 1))),
            "impedance_ohm": _Track(_whole(ohm)),
            "peak_voltage_mv": _Track(_whole(peak_mv)),
            "heart_rate_bpm": _Track(_whole(rate), ~pulseless),
            "charge_uc": _Track(_whole(charge), _every(COUNTERS_EVERY_S, seconds)),
            "pulses": _Track(_whole(pulses), _every(COUNTERS_EVERY_S, seconds)),
            "spo2_pct": _Track(_whole(oxygen), _every(SLOW_EVERY_S, seconds)),
            "skin_temp_mc": _Track(_whole(temperature), _every(SLOW_EVERY_S, seconds)),
            "battery_pct": _Track(_whole(course.battery_pct), _every(SLOW_EVERY_S, seconds)),
            "signal_dbm": _Track(_whole(signal_dbm), _every(SLOW_EVERY_S, seconds)),
        }
        reported = reported_channels(model)
        if model.native_levels is None:
            del tracks["native_level"]
        self._has_samples = reported is None or bool(reported)
        self._has_details = reported is None
        wanted = firmware.channels if reported is None else reported
        self._tracks = {
            firmware.renamed.get(name, name): track
            for name, track in tracks.items()
            if wanted is None or name in wanted
        }
        self._has_beats = wanted is None or "rr_ms" in wanted

    def write(self, frame_s: int) -> Iterator[Chunk | Happened | None]:
        """The session in the order of writing. `None` is the reboot.

        Samples that were still in memory at the reboot are lost. An event is written when it
        happens, so before the samples of the seconds around it.
        """
        reboot_at_s, end_s = self.course.reboot_at_s, self.course.seconds
        events = sorted(self.course.events, key=lambda one: one[0])
        if not self._has_details:  # nobody measured them
            events = [(at_s, Event(name=event.name)) for at_s, event in events]
        if reboot_at_s is None:
            yield from self._stretch(0, end_s, frame_s, events)
            return
        before = [one for one in events if one[0] < reboot_at_s]
        whole_s = reboot_at_s - reboot_at_s % frame_s
        yield from self._stretch(0, whole_s, frame_s, before)
        yield None
        yield from self._stretch(reboot_at_s, end_s, frame_s, events[len(before) :])

    def _stretch(
        self, first_s: int, end_s: int, frame_s: int, events: Sequence[tuple[int, Event]]
    ) -> Iterator[Chunk | Happened]:
        waiting = list(events)
        for at_s in range(first_s, end_s, frame_s):
            until_s = min(at_s + frame_s, end_s)
            while waiting and waiting[0][0] < until_s:
                yield Happened(*waiting.pop(0))
            if self._has_samples:
                yield Chunk(at_s, until_s - at_s, self._cut(at_s, until_s))
        for happened in waiting:
            yield Happened(*happened)

    def _cut(self, first_s: int, end_s: int) -> Columns:
        columns: Columns = {}
        for name, track in self._tracks.items():
            values = track.cut(first_s, end_s)
            if any(value is not None for value in values):
                columns[name] = values
        if self._has_beats:
            low, high = np.searchsorted(self._beat_at_s, (first_s, end_s))
            columns["rr_ms"] = self._beats.cut(int(low), int(high))
        return columns


def _whole(values: NDArray[np.generic]) -> NDArray[np.int32]:
    return np.floor(values.astype(np.float64) + 0.5).astype(np.int32)


def _every(seconds: int, count: int) -> NDArray[np.bool_]:
    on_time: NDArray[np.bool_] = np.arange(count) % seconds == 0
    return on_time
