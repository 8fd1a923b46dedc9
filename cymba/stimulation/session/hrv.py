"""Heart-rate variability from beat-to-beat intervals.

RMSSD is the root mean square of successive differences of normal intervals (Task Force of the
ESC and NASPE, Circulation 1996;93:1043). What counts as normal is Malik's rule, which is not
from that paper: 300–2000 ms, and within 20 % of the interval before. From an optical sensor the
result is pulse-rate variability. Nothing here says what a value means for a person.
"""

import math
from collections.abc import Sequence

from msgspec import Struct

SHORTEST_MS = 300
LONGEST_MS = 2_000
LARGEST_STEP = 0.2  # of the interval before
MAX_ARTEFACT_SHARE = 0.1
MIN_DIFFERENCES = 60  # about a minute of beats; with fewer the value is mostly noise


class BeatSums(Struct, array_like=True):
    """A session's beats so far, in order.

    A difference is taken only between two successive normal beats, never across a removed one.
    BeatSums without a neighbour are judged by the range alone.
    """

    count: int = 0
    normal: int = 0
    differences: int = 0
    squares: int = 0  # the sum of the squared differences
    last_ms: int = 0
    last_in_range: bool = False
    last_is_normal: bool = False
    expected_up: int | None = None  # where the next frame of the boot begins, if none is missing

    def add(self, rr_ms: int, *, follows: bool) -> None:
        """`follows` says that it came right after the one before, with no gap."""
        in_range = SHORTEST_MS <= rr_ms <= LONGEST_MS
        step = rr_ms - self.last_ms
        is_far = follows and self.last_in_range and abs(step) > LARGEST_STEP * self.last_ms
        is_normal = in_range and not is_far
        self.count += 1
        self.normal += is_normal
        if follows and is_normal and self.last_is_normal:
            self.differences += 1
            self.squares += step * step
        self.last_ms, self.last_in_range, self.last_is_normal = rr_ms, in_range, is_normal

    def add_frame(self, up: int, dt: int, n: int, column: Sequence[int | None] | None) -> None:
        """The next frame of a boot; a beat follows the one before it unless a null lies between
        them or a frame is missing."""
        follows = self.expected_up is not None and abs(up - self.expected_up) <= dt
        for rr_ms in column or ():
            if rr_ms is None:
                follows = False
                continue
            self.add(rr_ms, follows=follows)
            follows = True
        self.expected_up = None if column is None else up + n * dt

    def reboot(self) -> None:
        self.expected_up = None

    @property
    def artefact_share(self) -> float | None:
        """None without beats."""
        return 1.0 - self.normal / self.count if self.count else None

    @property
    def rmssd_ms(self) -> float | None:
        """None also with too few beats, or too poor ones."""
        share = self.artefact_share
        if share is None or share > MAX_ARTEFACT_SHARE or self.differences < MIN_DIFFERENCES:
            return None
        return math.sqrt(self.squares / self.differences)
