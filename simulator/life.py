"""One device's life: sessions, reboots, and the frames that they leave in flash.

A life depends on its seed alone and knows nothing of the link. So the same seed makes the same
frames, whether they arrive at once, twice or days later. Times are simulated ms.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np

from cymba.devices.models import MODELS, Model
from cymba.stimulation.wire.messages import (
    EndFrame,
    EventFrame,
    Frame,
    Programme,
    SamplesFrame,
    StartFrame,
)
from simulator import stimulator
from simulator.clock import RealTimeClock, SimulatedBootClock, epoch_ms
from simulator.faults import SPOILINGS, Behaviour, Profile, Spoiling, draw_firmware
from simulator.physical import electrode_of, physical, reported_programme
from simulator.physiology import draw_body
from simulator.prescription import Prescription
from simulator.recorder import Chunk, Happened, Recorder
from simulator.seeding import chance, stream, uuid4
from simulator.stimulator import Equipment, SessionCourse

SAMPLE_MS = 1000
FRAME_S = 10
HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS
SHORTEST_DOSE_S = 60.0


@dataclass(frozen=True, slots=True)
class WrittenFrame:
    """A frame written to flash. A spoiled one is sent to be rejected."""

    at_ms: float
    frame: Frame
    spoiling: Spoiling | None = None


@dataclass(frozen=True, slots=True)
class Booted:
    at_ms: float
    clock: SimulatedBootClock


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing happens until then. The programme that is set at that time counts."""

    at_ms: float


Lived = WrittenFrame | Booted | Idle


class Schedule(Protocol):
    """When a person next uses the device."""

    def next_start_ms(
        self, free_ms: float, rng: np.random.Generator, *, first: bool
    ) -> float | None:
        """The beginning of the next session, not before `free_ms`; None if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Session after session, with a pause drawn evenly from a range of seconds."""

    first_after_s: tuple[float, float] = (5.0, 30.0)
    pause_s: tuple[float, float] = (300.0, 3600.0)

    def next_start_ms(self, free_ms: float, rng: np.random.Generator, *, first: bool) -> float:
        return free_ms + rng.uniform(*(self.first_after_s if first else self.pause_s)) * 1000.0


class SpentDose(NamedTuple):
    ended_ms: float
    seconds: float


class Life:
    """A device and its person. `began_at` is when the simulated clock was 0.

    Only the ids of the store and the sessions depend on `began_at`: two runs are two new devices,
    which must not write the same keys.
    """

    def __init__(
        self,
        device_id: str,
        model: str | Model,
        *,
        seed: int,
        began_at: datetime,
        profile: Profile,
        schedule: Schedule | None = None,
        behaviour: Behaviour | None = None,
        frame_s: int = FRAME_S,
    ) -> None:
        self.device_id, self.profile = device_id, profile
        self.model = model if isinstance(model, Model) else MODELS[model]
        self._seed, self._began_at, self._frame_s = seed, began_at, frame_s
        self._schedule = schedule or Rhythm()
        self._behaviour = behaviour or Behaviour()
        self.prescription = Prescription(
            self.model, ignores_versions=self._behaviour.ignores_versions
        )
        self._identity = stream(seed, device_id, "identity", round(epoch_ms(began_at)))
        self.store = int(self._identity.integers(1, 2**32))
        made = stream(seed, device_id, "made")
        self.body = draw_body(electrode_of(self.model), made)
        self.firmware = draw_firmware(profile, made)
        self._drift_ppm = made.uniform(*profile.drift_ppm) * made.choice((-1.0, 1.0))
        self._local_time_ms = (
            made.choice((-8.0, -5.0, 1.0, 2.0, 5.5, 9.0)) * HOUR_MS
            if chance(made, profile.local_time_per_device)
            else 0.0
        )
        self.first_boot = int(made.integers(1, 200))  # it was started some times before
        self._battery_pct = made.uniform(40.0, 100.0)
        self._seq = 0
        self._session = 0
        self._always_dated = False
        self._clock = self.clock_of(self.first_boot, 0.0, dated=True)
        self._doses: deque[SpentDose] = deque()  # of the last 24 hours

    @property
    def battery_pct(self) -> int:
        return int(self._battery_pct)

    def lived(
        self,
        from_ms: float,
        until_ms: float,
        clock: SimulatedBootClock,
        *,
        always_dated: bool = False,
    ) -> Iterator[Lived]:
        """Everything that is written to flash, in order of time, by the sessions that end in time.

        The device starts on `clock`. Call it again for a later stretch of the same life.
        `always_dated` keeps the calendar of every boot right: if the server first hears of a boot
        long after it, nothing else can place it in time.
        """
        self._always_dated = always_dated
        yield self._boot(clock)
        free_ms, first = from_ms, True
        while True:
            self._session += 1
            rng = stream(self._seed, self.device_id, "session", self._session)
            start_ms = self._schedule.next_start_ms(free_ms, rng, first=first)
            if start_ms is None:
                return
            first = False
            while not self._dose_left_s(start_ms):
                start_ms = self._doses[0].ended_ms + DAY_MS if self._doses else start_ms + DAY_MS
                yield Idle(start_ms)
            yield Idle(start_ms)
            self._charge_battery(start_ms - free_ms, rng)
            cycled = chance(rng, self.profile.power_cycle_per_session)
            programme, titration = self.prescription.for_session(
                self.body, epoch_ms(self._began_at) + start_ms, rng
            )
            course = stimulator.run(programme, self.body, self._equipment(start_ms, rng), rng)
            if titration:
                course = replace(course, events=[(0, titration.event), *course.events])
            length_ms = course.seconds * SAMPLE_MS * 1.001 + 60_000.0  # a reboot's time at most
            if start_ms + length_ms > until_ms:
                return
            if cycled:
                yield self._boot(self._next_clock(start_ms))
                start_ms += rng.uniform(2.0, 4.0) * 1000.0
            free_ms = start_ms
            for lived in self._recorded(start_ms, course, programme, rng):
                free_ms = lived.at_ms
                yield lived
            self._battery_pct = float(course.battery_pct[-1])
            self._doses.append(SpentDose(free_ms, float(np.count_nonzero(course.set_ua))))

    def clock_of(self, boot: int, at_ms: float, *, dated: bool = False) -> SimulatedBootClock:
        """The clock of the `boot`-th boot, at `at_ms`."""
        rng = stream(self._seed, self.device_id, "boot", boot)
        lost = chance(rng, self.profile.calendar_lost_per_boot) and not dated
        error_ms = rng.normal(0.0, self.profile.calendar_error_ms) + self._local_time_ms
        calendar = RealTimeClock(is_set=not lost, error_ms=error_ms)
        drift_ppm = float(np.clip(self._drift_ppm + rng.normal(0.0, 2.0), -99.0, 99.0))
        return SimulatedBootClock(boot, at_ms, drift_ppm, calendar)

    def _next_clock(self, at_ms: float) -> SimulatedBootClock:
        return self.clock_of(self._clock.boot + 1, at_ms, dated=self._always_dated)

    def _boot(self, clock: SimulatedBootClock) -> Booted:
        self._clock = clock
        return Booted(clock.began_ms, clock)

    def utc_ms(self, clock: SimulatedBootClock, up: int) -> int | None:
        """The date that the device would report; None if it knows that its date is lost."""
        knows = clock.calendar.is_set or not self.firmware.knows_calendar_is_lost
        return clock.utc_ms(up, self._began_at) if knows else None

    def _recorded(
        self, start_ms: float, course: SessionCourse, programme: Programme, rng: np.random.Generator
    ) -> Iterator[WrittenFrame | Booted]:
        sid = uuid4(self._identity)
        recorder = Recorder(
            course,
            programme,
            self.model,
            self.body,
            self.firmware,
            rng=rng,
            wrong_units=self._behaviour.wrong_units,
        )
        origin_s, origin_up = 0, self._clock.up_ms(start_ms)
        up = origin_up
        reported = reported_programme(self.model, programme)
        yield self._write(up, StartFrame(programme=reported, **self._head(sid, up)), rng)
        first_seq = self._seq
        for item in recorder.write(self._frame_s):
            match item:
                case None:
                    origin_s = course.reboot_at_s or 0
                    yield self._reboot(up, rng)
                    origin_up = up = int(rng.integers(800, 3000))
                case Happened(at_s, event):
                    up = origin_up + (at_s - origin_s) * SAMPLE_MS
                    yield self._write(up, EventFrame(event=event, **self._head(sid, up)), rng)
                case Chunk(first_s, n, columns):
                    up = origin_up + (first_s - origin_s) * SAMPLE_MS
                    frame = SamplesFrame(dt=SAMPLE_MS, n=n, c=columns, **self._head(sid, up))
                    up += n * SAMPLE_MS
                    yield self._write(up, frame, rng)
        if course.end_reason is not None:
            head = self._head(sid, up)
            reason, last_seq = course.end_reason, int(head["seq"])
            end = EndFrame(reason=reason, first_seq=first_seq, last_seq=last_seq, **head)
            yield self._write(up, end, rng)

    def _reboot(self, up: int, rng: np.random.Generator) -> Booted:
        down_s = rng.uniform(1.0, 20.0) + self._frame_s
        return self._boot(self._next_clock(self._clock.world_ms(up) + down_s * 1000.0))

    def _head(self, sid: UUID, up: int) -> dict[str, Any]:
        repeats = self._behaviour.reuses_keys and self._seq % 50 == 49
        self._seq += not repeats
        return {
            "v": 1,
            "store": self.store,
            "seq": self._seq,
            "boot": self._clock.boot,
            "sid": sid,
            "up": up,
            "utc": self.utc_ms(self._clock, up),
        }

    def _write(self, up: int, frame: Frame, rng: np.random.Generator) -> WrittenFrame:
        spoiling: Spoiling | None = None
        if isinstance(frame, SamplesFrame) and chance(rng, self.profile.spoiled_per_frame):
            spoiling = SPOILINGS[int(rng.integers(len(SPOILINGS)))]
        return WrittenFrame(self._clock.world_ms(up), frame, spoiling)

    def _equipment(self, start_ms: float, rng: np.random.Generator) -> Equipment:
        return Equipment(
            compliance_mv=int((physical(self.model).compliance_v or 0) * 1000),
            battery_pct=self._battery_pct,
            battery_pct_per_s=rng.uniform(3.0, 6.0) / 1800.0,
            dose_left_s=self._dose_left_s(start_ms),
            reboot_share=self.profile.reboot_per_session,
        )

    def _dose_left_s(self, at_ms: float) -> float:
        """Seconds that the device still allows at `at_ms`: it locks itself once its dose is used
        up."""
        while self._doses and self._doses[0].ended_ms + DAY_MS <= at_ms:
            self._doses.popleft()
        limits = self.prescription.limits
        if limits.daily_sessions is not None and len(self._doses) >= limits.daily_sessions:
            return 0.0
        daily_s = math.inf if limits.daily_s is None else limits.daily_s
        left_s = daily_s - sum(dose.seconds for dose in self._doses)
        return left_s if left_s >= SHORTEST_DOSE_S else 0.0

    def _charge_battery(self, pause_ms: float, rng: np.random.Generator) -> None:
        """In a pause of twenty minutes the battery may be charged; an empty one mostly is."""
        if pause_ms > 20 * 60_000.0 and chance(rng, 0.9 if self._battery_pct < 30.0 else 0.4):
            self._battery_pct = min(100.0, self._battery_pct + pause_ms / 60_000.0)
