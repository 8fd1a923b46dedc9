"""A stimulator's session, second by second: programme, ramps, contact, and why it ended."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cymba.stimulation.wire.messages import Event, Programme
from simulator import physiology
from simulator.physiology import Body
from simulator.seeding import chance

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LEAD_IN_S = 60  # quiet seconds before the first pulse: "heart rate before" is taken from them
DEFAULT_RAMP_UA_PER_S = 500
STOP_RATIO = 4.0  # of the impedance to its baseline
SHORT_OHM = 50
PERSISTS_S = 10  # how long a current may stay short of its target
RESEAT_TIMEOUT_S = 60
PAUSE_TIMEOUT_S = 300
BATTERY_EMPTY_PCT = 5.0

# How a person or a fault ends a 30-minute session, and how often. Contact, battery and compliance
# end others in the course of the simulation.
CAUSES: dict[str, float] = {
    "user_stop": 0.06,
    "discomfort_reported": 0.03,
    "hr_low_stop": 0.002,
    "short_circuit": 0.002,
    "over_temperature": 0.001,
    "firmware_fault": 0.001,
}
CAUSES_PER_S = sum(CAUSES.values()) / 1800.0
PAUSE_SHARE = 0.05  # of sessions
# How a session continues after a reboot of the device.
RESUMES_SHARE, WATCHDOG_SHARE = 0.6, 0.25


@dataclass(frozen=True, slots=True)
class Equipment:
    """What a session depends on, besides programme and person."""

    compliance_mv: int
    battery_pct: float
    battery_pct_per_s: float
    dose_left_s: float = float("inf")  # of what is allowed in 24 hours
    reboot_share: float = 0.0  # of sessions


@dataclass(frozen=True, slots=True)
class SessionCourse:
    """A simulated session. The arrays have one value a second; a reboot takes none."""

    set_ua: Ints
    delivered_ua: Ints
    impedance_ohm: Ints
    battery_pct: Floats
    drive: Floats  # the share of the programme's current given, 1 on average over its cycles
    events: list[tuple[int, Event]]  # each with the second before which it happened
    end_reason: str | None  # None: the device lost the session in a reboot
    reboot_at_s: int | None

    @property
    def seconds(self) -> int:
        return len(self.set_ua)


def run(
    programme: Programme, body: Body, equipment: Equipment, rng: np.random.Generator
) -> SessionCourse:
    """Simulate one whole session of a programme that leaves nothing open. Every output ends in a
    ramp, whatever ended it."""
    return _Session(programme, body, equipment, rng).lived()


@dataclass(slots=True)
class _Output:
    """The current source: every output begins at zero and ends in a ramp."""

    programme: Programme
    programme_s: int = 0  # seconds of the programme so far
    flowing_s: int = 0  # seconds since output last began

    @property
    def ramp_ua_per_s(self) -> int:
        return self.programme.ramp_ua_per_s or DEFAULT_RAMP_UA_PER_S

    def level_ua(self) -> int:
        """The current to set now. Every on-phase has a ramp at both ends."""
        programme = self.programme
        on_s, off_s = programme.on_s or 0, programme.off_s or 0
        since_s, left_s = self.flowing_s, (programme.duration_s or 0) - self.programme_s
        if off_s:
            phase_s = self.programme_s % (on_s + off_s)
            since_s = min(since_s, phase_s)
            left_s = min(left_s, on_s - phase_s)
        wanted = self.ramp_ua_per_s * max(0, min(since_s, left_s))
        return min(programme.amplitude_ua or 0, wanted)

    def advance(self) -> None:
        self.programme_s += 1
        self.flowing_s += 1


class _Session:
    """One session in progress. Drawn events wait for their second of the programme."""

    def __init__(
        self, programme: Programme, body: Body, equipment: Equipment, rng: np.random.Generator
    ) -> None:
        self.body, self.equipment, self.rng = body, equipment, rng
        self.output = _Output(programme)
        duration_s = programme.duration_s or 0
        longest_s = LEAD_IN_S + 2 * duration_s + 3600
        self.ohm = physiology.contact_impedance(body, longest_s, rng)
        self.noise = rng.normal(1.0, 0.004, longest_s)
        self.set_ua: list[int] = []
        self.delivered_ua: list[int] = []
        self.impedance_ohm: list[float] = []
        self.events: list[tuple[int, Event]] = []
        self.over = False
        self.end_reason: str | None = None
        self.reboot_at_s: int | None = None
        self.short_of_target_s = 0
        self.happenings = self._draw_happenings(duration_s)

    def lived(self) -> SessionCourse:
        for _ in range(LEAD_IN_S):
            self._second(0, 0)
        self._note("stimulation_started")
        while not self.over:
            if self.output.programme_s >= (self.output.programme.duration_s or 0):
                self._end("completed")
            elif self.output.programme_s >= self.equipment.dose_left_s:
                self._end("daily_dose_lockout")
            elif self._battery_pct(len(self.set_ua)) <= BATTERY_EMPTY_PCT:
                self._end("battery_low")
            elif self.happenings and self.happenings[0][0] <= self.output.programme_s:
                self.happenings.pop(0)[1]()
            else:
                self._flow()
        self._ramp_down()
        if self.end_reason is not None:
            self._note("stimulation_stopped")
        if self.end_reason == "completed":
            for _ in range(int(self.rng.integers(60, 180))):
                self._second(0, 0)
        return self._course()

    def _draw_happenings(self, duration_s: int) -> list[tuple[float, Callable[[], None]]]:
        rng = self.rng
        happenings: list[tuple[float, Callable[[], None]]] = [
            (at_s, self._lose_contact) for at_s in physiology.lead_off_times(duration_s, rng)
        ]
        if chance(rng, PAUSE_SHARE):
            happenings.append((float(rng.integers(duration_s)), self._pause))
        if chance(rng, self.equipment.reboot_share):
            happenings.append((float(rng.integers(duration_s)), self._reboot))
        happenings.append((rng.exponential(1.0 / CAUSES_PER_S), self._stop_by_cause))
        return sorted(happenings, key=lambda happening: happening[0])

    def _flow(self) -> None:
        second = len(self.set_ua)
        wanted_ua = self.output.level_ua()
        possible_ua = self.equipment.compliance_mv * 1000.0 / self.ohm[second]
        given_ua = min(wanted_ua, int(possible_ua))
        self._second(wanted_ua, min(60_000, int(given_ua * self.noise[second])))
        self.output.advance()
        self.short_of_target_s = self.short_of_target_s + 1 if given_ua < wanted_ua else 0
        if self.short_of_target_s >= PERSISTS_S:
            self._end("compliance_limit")
        elif self.ohm[second] > self.body.impedance_ohm * STOP_RATIO:
            self._end("high_impedance")

    def _lose_contact(self) -> None:
        """The electrode comes off. The current ramps to zero until it is put back."""
        open_ohm = float(self.rng.uniform(80_000, 600_000))
        self._note("lead_off", impedance_ohm=int(open_ohm))
        level_ua = self.set_ua[-1]
        back_after_s = physiology.reseated(self.rng)
        for _ in range(RESEAT_TIMEOUT_S if back_after_s is None else back_after_s):
            level_ua = max(0, level_ua - self.output.ramp_ua_per_s)
            self._second(level_ua, 0, open_ohm * float(self.rng.lognormal(0.0, 0.05)))
        self.output.flowing_s = 0
        if back_after_s is None:
            self._end("lead_off")
        else:
            self._note("lead_on", seconds=back_after_s)
            self.ohm *= self.rng.lognormal(0.0, 0.1)  # seated a little differently

    def _pause(self) -> None:
        self._note("pause")
        self._ramp_down()
        goes_on = chance(self.rng, 0.85)
        for _ in range(int(self.rng.integers(10, 180)) if goes_on else PAUSE_TIMEOUT_S):
            self._second(0, 0)
        self.output.flowing_s = 0
        if goes_on:
            self._note("resume")
        else:
            self._end("user_pause_timeout")

    def _reboot(self) -> None:
        self.reboot_at_s = len(self.set_ua)
        self.output.flowing_s = 0
        fate = self.rng.random()
        if fate < RESUMES_SHARE:
            self._note("rebooted")
        else:
            self._end("watchdog_reset" if fate < RESUMES_SHARE + WATCHDOG_SHARE else None)

    def _stop_by_cause(self) -> None:
        weights = np.array(list(CAUSES.values()))
        cause = str(self.rng.choice(list(CAUSES), p=weights / weights.sum()))
        if cause == "discomfort_reported":
            self._note("discomfort", amplitude_ua=self.set_ua[-1])
        elif cause == "short_circuit":
            self._second(self.set_ua[-1], 0, SHORT_OHM)
        self._end(cause)

    def _ramp_down(self) -> None:
        if self.reboot_at_s == len(self.set_ua):
            return  # the reboot has already ended the current
        level_ua, delivered_ua = self.set_ua[-1], self.delivered_ua[-1]
        while level_ua > 0:
            level_ua = max(0, level_ua - self.output.ramp_ua_per_s)
            self._second(level_ua, min(level_ua, delivered_ua))

    def _second(self, set_ua: int, delivered_ua: int, ohm: float | None = None) -> None:
        self.impedance_ohm.append(float(self.ohm[len(self.set_ua)]) if ohm is None else ohm)
        self.set_ua.append(set_ua)
        self.delivered_ua.append(delivered_ua)

    def _note(self, name: str, **detail: int) -> None:
        self.events.append((len(self.set_ua), Event(name=name, detail={**detail} or None)))

    def _end(self, reason: str | None) -> None:
        self.over, self.end_reason = True, reason

    def _battery_pct(self, second: int) -> float:
        return self.equipment.battery_pct - self.equipment.battery_pct_per_s * second

    def _course(self) -> SessionCourse:
        programme = self.output.programme
        delivered = np.array(self.delivered_ua, dtype=np.int64)
        on_s, off_s = programme.on_s or 1, programme.off_s or 0
        on_share = on_s / (on_s + off_s)
        battery = self.equipment.battery_pct - self.equipment.battery_pct_per_s * np.arange(
            len(delivered)
        )
        return SessionCourse(
            set_ua=np.array(self.set_ua, dtype=np.int64),
            delivered_ua=delivered,
            impedance_ohm=np.clip(self.impedance_ohm, 0, 1_000_000).astype(np.int64),
            battery_pct=np.clip(battery, 0.0, 100.0),
            drive=delivered / (max(programme.amplitude_ua or 0, 1) * on_share),
            events=self.events,
            end_reason=self.end_reason,
            reboot_at_s=self.reboot_at_s,
        )
