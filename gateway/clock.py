"""The gateway's clock: milliseconds since this program's start, which is its boot."""

import time
from dataclasses import dataclass


def machine_ms() -> int:
    """Milliseconds since the machine's start. Goes on while it sleeps, as `up` has to."""
    # Linux has a clock of its own for that; those of macOS and Windows go on by themselves.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        clock = getattr(time, name, None)
        if clock is not None:
            return time.clock_gettime_ns(clock) // 1_000_000
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class ProgramBoot:
    number: int
    began_ms: int  # of the machine

    def up_ms(self) -> int:
        return machine_ms() - self.began_ms

    def utc_ms(self) -> int:
        """The machine's own date, which may be wrong."""
        return time.time_ns() // 1_000_000
