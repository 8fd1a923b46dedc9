"""Clocks: that of the simulated world, which is never in the future, and a device's, which
drifts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class WorldClock:
    """The simulated time, in ms since it began.

    At speed 1 it begins now and is the real time. At a higher speed it begins `past` ago and runs
    at that speed up to the start of the simulation; from then on it is the real time. So no
    simulated moment is ever in the future.

    `started_s` is the start on the monotonic clock whose values are given to `at`.
    """

    started_at: datetime
    started_s: float
    speed: float = 1.0
    past: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.speed < 1:
            raise ValueError("a world cannot be slower than the real one")
        if self.speed == 1 and self.past:
            raise ValueError("at speed 1 there is no past to catch up with")

    @property
    def began_at(self) -> datetime:
        return self.started_at - self.past

    @property
    def past_ms(self) -> float:
        return self.past.total_seconds() * 1000.0

    @property
    def caught_up_ms(self) -> float:
        """The simulated moment at which the past has been lived and real time is reached."""
        return self.past_ms * (1.0 + 1.0 / self.speed)

    def at(self, now_s: float) -> float:
        """The simulated ms at `now_s`."""
        elapsed_ms = (now_s - self.started_s) * 1000.0
        lived_ms = elapsed_ms * self.speed
        return lived_ms if lived_ms < self.past_ms else self.past_ms + elapsed_ms

    def present_ms(self, now_s: float) -> float:
        """The simulated ms of real time, also while the past is still being lived."""
        return self.past_ms + (now_s - self.started_s) * 1000.0

    def when(self, world_ms: float) -> float:
        """The moment on the monotonic clock at which the simulated time reaches `world_ms`."""
        if world_ms < self.past_ms:
            return self.started_s + world_ms / (1000.0 * self.speed)
        return self.started_s + max(
            (world_ms - self.past_ms) / 1000.0, self.past_ms / (1000.0 * self.speed)
        )


def default_past(speed: float) -> timedelta:
    """A past that takes an hour to live, and is at most 60 days long."""
    return timedelta(0) if speed == 1 else min(timedelta(hours=speed), timedelta(days=60))


@dataclass(frozen=True, slots=True)
class RealTimeClock:
    """A device's calendar clock. It was set at some moment, or counts from 1970 since it lost
    power.

    `error_ms` is its error when it was set. From then on it drifts with the device.
    """

    is_set: bool
    error_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class SimulatedBootClock:
    """The monotonic clock of one boot, in ms, running fast by `drift_ppm`."""

    boot: int
    began_ms: float  # of the world
    drift_ppm: float
    calendar: RealTimeClock

    def up_ms(self, world_ms: float) -> int:
        return max(0, round((world_ms - self.began_ms) * (1.0 + self.drift_ppm * 1e-6)))

    def world_ms(self, up_ms: float) -> float:
        return self.began_ms + up_ms / (1.0 + self.drift_ppm * 1e-6)

    def utc_ms(self, up_ms: int, world_began_at: datetime) -> int:
        """The calendar clock at `up_ms`, in ms since 1970."""
        if not self.calendar.is_set:
            return up_ms
        began_at = world_began_at + timedelta(milliseconds=self.began_ms)
        return round(epoch_ms(began_at) + self.calendar.error_ms + up_ms)


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def epoch_ms(moment: datetime) -> float:
    return (moment - EPOCH) / timedelta(milliseconds=1)
