"""What intervals that contradict each other agree on: Marzullo's intersection, as NTP has it
(RFC 5905, section 11.2.1), with an error that covers the ones that are outvoted.

A bridge whose clock was an hour behind for one frame says of a boot what no other message says. It
moves nothing that others agree on; but since it might be the one that is right, the error reaches
as far as it says.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

SERVERS_APART_MS = 1_000.0
"""By so much the clocks of servers may differ. Who dissents by less is believed to be off by as
much, and not by all that its own error would allow."""


class TimeInterval(NamedTuple):
    low_ms: float
    high_ms: float

    @property
    def middle_ms(self) -> float:
        return (self.low_ms + self.high_ms) / 2

    @property
    def half_width_ms(self) -> float:
        return (self.high_ms - self.low_ms) / 2

    def apart_ms(self, other: "TimeInterval") -> float:
        """How far the two miss each other; 0 if they overlap."""
        return max(self.low_ms - other.high_ms, other.low_ms - self.high_ms, 0.0)


def agreed(
    known: Sequence[TimeInterval],
    voting: Sequence[TimeInterval],
    nearest: TimeInterval,
    upper_ms: float,
) -> TimeInterval:
    """Around what most of `voting` agree on (of equals, what is next to `nearest`), as wide as all
    of `known` and `upper_ms`, a bound from above alone, ask for."""
    best = max(_regions(voting), key=lambda one: (one.votes, -one.region.apart_ms(nearest)))
    low, high = best.region
    middle = (low + high) / 2
    for interval in known:
        apart = interval.apart_ms(best.region)
        if apart == 0.0:
            continue
        if apart <= SERVERS_APART_MS:
            low, high = min(low, interval.high_ms), max(high, interval.low_ms)
        else:
            low, high = min(low, interval.low_ms), max(high, interval.high_ms)
    if math.isfinite(upper_ms):
        low = min(low, upper_ms)
    half = max(middle - low, high - middle)
    return TimeInterval(middle - half, middle + half)


class _Region(NamedTuple):
    votes: int
    region: TimeInterval


def _regions(intervals: Sequence[TimeInterval]) -> list[_Region]:
    """Each stretch between two edges that some interval begins and some interval ends, with how
    many hold it."""
    edges = sorted([(one.low_ms, 0) for one in intervals] + [(one.high_ms, 1) for one in intervals])
    regions: list[_Region] = []
    votes, begin_ms = 0, -math.inf
    for at_ms, ends in edges:
        if ends:
            regions.append(_Region(votes, TimeInterval(begin_ms, at_ms)))
            votes -= 1
        else:
            votes += 1
        begin_ms = at_ms
    return regions
