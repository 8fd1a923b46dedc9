"""The dose that reached the person: time, amplitude or level, charge and pulses.

Pauses and lost contact are left out. Time is that with a current; of a sample without one, that
with a level above 0; of a session that reports neither, that between its own marks: start, end
and the pauses between. What a model does not know stays null.

A session's charge is that of one phase of each pulse, summed over the pulses: `∫ Q(I) · f dt`, with
Q from `cymba.devices.charge`. Each sample stands for its interval, so a ramp is summed as steps.
Where a device counts pulses or charge itself, its counters are used instead
(`cymba.stimulation.session.counters`).

Samples and marks are added in the order of their device's time, a boot after another. All sums are
of whole numbers, so they are the same however the session was cut.
"""

from bisect import insort
from collections.abc import Mapping
from operator import itemgetter
from statistics import median

from msgspec import Struct, field

from cymba.devices.charge import SineBurst, Waveform, phase_charge_uc
from cymba.devices.messages import Programme
from cymba.stimulation.session.counters import Count

SHORT_OHM = 200  # less is a short circuit, and no electrode on a skin
START_MS = 60_000
LEAST_AT_START = 3  # readings
LEAD_OFF_OHM = 20_000  # where every model stops
MIN_HEART_READINGS = 10  # fewer give no mean heart rate

MARKS = frozenset({"lead_off", "lead_on", "pause", "resume"})
_BOOT_ENDS = ""  # the mark at which what is not closed ends


class Mean(Struct, array_like=True):
    """Of whole numbers, each with its weight."""

    total: int = 0
    weight: int = 0
    highest: int | None = None

    def add(self, value: int, weight: int = 1) -> None:
        self.total += value * weight
        self.weight += weight
        if self.highest is None or value > self.highest:
            self.highest = value

    def take(self, other: "Mean") -> None:
        self.total += other.total
        self.weight += other.weight
        other.total = other.weight = 0

    def value(self, at_least: int = 1) -> float | None:
        return self.total / self.weight if self.weight >= at_least else None


class HeartRates(Struct, array_like=True):
    """Before stimulation began, and from its first to its last moment."""

    before: Mean = field(default_factory=Mean)
    during: Mean = field(default_factory=Mean)
    since: Mean = field(default_factory=Mean)  # its last moment so far
    has_begun: bool = False

    def add(self, bpm: int | None, *, stimulating: bool) -> None:
        if stimulating:
            self.has_begun = True
            self.during.take(self.since)
        if bpm is not None:
            part = self.before
            if self.has_begun:
                part = self.during if stimulating else self.since
            part.add(bpm)


class Cover(Struct, array_like=True):
    """How long the union of some spans is; they are given in the order in which they begin."""

    total_ms: int = 0
    reached: int = -1
    open: int = 0  # spans whose end is not known yet
    since: int = 0  # the first of these began

    def begin(self, at: int) -> None:
        if not self.open:
            self._add(at, at)
            self.since = at
        self.open += 1

    def end(self, at: int) -> None:
        self.open -= 1
        if not self.open:
            self._add(self.since, at)

    def span(self, begin: int, end: int) -> None:
        if self.open:
            self._add(self.since, end)
        else:
            self._add(begin, end)

    def _add(self, begin: int, end: int) -> None:
        self.total_ms += max(0, end - max(begin, self.reached))
        self.reached = max(self.reached, end)


class Held(Struct, array_like=True):
    """The latest samples. They wait for the next ones, since a mark among them may come after."""

    at: int
    dt: int
    n: int
    columns: dict[str, list[int | None]]

    @property
    def last_at(self) -> int:
        return self.at + (self.n - 1) * self.dt


class Dose(Struct, array_like=True):
    """A session's sums so far. Times are `up` in the boot under way."""

    held: Held | None = None
    summed_to: int = -1  # the last sample that is summed; no mark may come at or before it
    marks: list[tuple[int, str]] = field(default_factory=list)  # that no sample has reached yet
    is_off: bool = False
    is_paused: bool = False
    lost: Cover = field(default_factory=Cover)  # contact
    still: Cover = field(default_factory=Cover)  # in this boot: without contact, or paused
    between_marks_ms: int = 0  # in boots that are over
    tells_current: bool = False
    tells_strength: bool = False
    stimulating_ms: int = 0
    current_ua: Mean = field(default_factory=Mean)  # weighted by milliseconds, as is the level
    level: Mean = field(default_factory=Mean)
    impedance_ohm: Mean = field(default_factory=Mean)
    start_from: int | None = None  # the first reading with contact
    start_ohms: list[int] = field(default_factory=list)  # within a minute of it
    start_is_over: bool = False
    start_ohm: float | None = None  # the median of that minute
    hearts: HeartRates = field(default_factory=HeartRates)
    hearts_by_marks: HeartRates = field(default_factory=HeartRates)
    charge_uc: Count = field(default_factory=Count)
    pulses: Count = field(default_factory=Count)

    def takes_mark(self, at: int) -> bool:
        """Whether a mark at `at` comes after all that is summed."""
        return at > self.summed_to

    def takes_samples(self, at: int) -> bool:
        return self.held is None or at >= self.held.last_at

    def mark(self, at: int, name: str) -> None:
        insort(self.marks, (at, name), key=itemgetter(0))

    def samples(self, samples: Held, counters: Mapping[str, int]) -> None:
        """`counters`: where they stood at the start, if it says so."""
        self._sum_held(counters)
        self.held = samples

    def end_boot(self, low: int, high: int, counters: Mapping[str, int]) -> None:
        """The session was in this boot from `low` to `high`."""
        self.mark(high, _BOOT_ENDS)
        self._sum_held(counters)
        for at, name in self.marks:
            self._pass(at, name)
        beyond_ms = max(0, self.still.reached - high)
        self.between_marks_ms += high - low - (self.still.total_ms - beyond_ms)
        self.marks, self.summed_to = [], -1
        self.lost, self.still = Cover(self.lost.total_ms), Cover()
        if self.start_from is not None and not self.start_is_over:
            self._end_start()
        self.charge_uc.reboot()
        self.pulses.reboot()

    def _sum_held(self, counters: Mapping[str, int]) -> None:
        held, self.held = self.held, None
        if held is None:
            return
        column, nothing = held.columns.get, [None] * held.n
        delivered = column("amplitude_delivered_ua") or nothing
        amplitudes = column("amplitude_ua") or nothing
        levels = column("native_level") or nothing
        ohms = column("impedance_ohm") or nothing
        hearts = column("heart_rate_bpm") or nothing
        at = held.at
        for i in range(held.n):
            while self.marks and self.marks[0][0] <= at:
                self._pass(*self.marks.pop(0))
            # The delivered amplitude where the device measures it, else the one it was set to.
            amplitude = amplitudes[i] if delivered[i] is None else delivered[i]
            flows = self._has_contact(at, held.dt, ohms[i]) and not self.is_paused
            stimulating = self._sum_strength(amplitude, levels[i], held.dt, flows=flows)
            self.hearts.add(hearts[i], stimulating=stimulating)
            self.hearts_by_marks.add(hearts[i], stimulating=flows)
            at += held.dt
        self.summed_to = held.last_at
        for name, count in (("charge_uc", self.charge_uc), ("pulses", self.pulses)):
            for value in column(name) or ():
                if value is not None:
                    count.add(value, counters.get(name))

    def _has_contact(self, at: int, dt: int, ohm: int | None) -> bool:
        if ohm is not None and ohm > LEAD_OFF_OHM:
            self.lost.span(at, at + dt)
            self.still.span(at, at + dt)
            return False
        if self.is_off:
            return False
        if ohm is not None:
            self.impedance_ohm.add(ohm)
            if ohm >= SHORT_OHM and not self.start_is_over:
                self._at_start(at, ohm)
        return True

    def _at_start(self, at: int, ohm: int) -> None:
        """The first minute's readings with contact: it falls from then on."""
        if self.start_from is None:
            self.start_from = at
        if at < self.start_from + START_MS:
            self.start_ohms.append(ohm)
        else:
            self._end_start()

    def _end_start(self) -> None:
        self.start_is_over = True
        if len(self.start_ohms) >= LEAST_AT_START:
            self.start_ohm = float(median(self.start_ohms))
        self.start_ohms = []

    def _sum_strength(
        self, amplitude: int | None, level: int | None, dt: int, *, flows: bool
    ) -> bool:
        """Whether the sample stimulates, as far as its current or level says so."""
        strength = level if amplitude is None else amplitude
        if strength is None:
            return False
        self.tells_strength = True
        self.tells_current = self.tells_current or amplitude is not None
        if strength <= 0 or not flows:
            return False
        self.stimulating_ms += dt
        if amplitude is not None:
            self.current_ua.add(amplitude, dt)
        if level is not None and level > 0:
            self.level.add(level, dt)
        return True

    def _pass(self, at: int, name: str) -> None:
        """One that is never closed ends with the last frame of its boot."""
        if name == "lead_off" and not self.is_off:
            self.is_off = True
            self.lost.begin(at)
            self.still.begin(at)
        elif name in {"lead_on", _BOOT_ENDS} and self.is_off:
            self.is_off = False
            self.lost.end(at)
            self.still.end(at)
        if name == "pause" and not self.is_paused:
            self.is_paused = True
            self.still.begin(at)
        elif name in {"resume", _BOOT_ENDS} and self.is_paused:
            self.is_paused = False
            self.still.end(at)

    def stimulating_s(self, *, has_marks: bool) -> float | None:
        """`has_marks`: the session's start and all between it and its last frame are here, so they
        show how long it was."""
        if self.tells_strength:
            return self.stimulating_ms / 1000
        return self.between_marks_ms / 1000 if has_marks else None

    def heart_rates(self, *, has_marks: bool) -> tuple[float | None, float | None]:
        """Before stimulation, and during it."""
        known = self.hearts if self.tells_strength or not has_marks else self.hearts_by_marks
        return known.before.value(MIN_HEART_READINGS), known.during.value(MIN_HEART_READINGS)

    def delivered_charge_uc(
        self, programme: Programme | None, waveform: Waveform | None
    ) -> float | None:
        counted = self.charge_uc.total
        if counted is not None:
            return float(counted)
        if not self.tells_current or programme is None or waveform is None:
            return None
        width_us, frequency_hz = programme.pulse_width_us, programme.frequency_hz
        if width_us is None or frequency_hz is None:
            return None
        cycles = 1.0
        if isinstance(waveform, SineBurst):
            cycles = waveform.carrier_hz * width_us * 1e-6  # of one burst
        ua_s = self.current_ua.total / 1000
        return ua_s * phase_charge_uc(waveform, 1.0, width_us) * cycles * frequency_hz

    def delivered_pulses(self, programme: Programme | None) -> int | None:
        counted = self.pulses.total
        if counted is not None:
            return counted
        if not self.tells_current or programme is None or programme.frequency_hz is None:
            return None
        return round(self.current_ua.weight / 1000 * programme.frequency_hz)
