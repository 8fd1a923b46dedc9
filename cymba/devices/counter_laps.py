"""A counter of milliseconds since boot that has 32 bits begins anew after 49.7 days.

The protocol asks for one that does not (R16), and firmware has it all the same. In one boot such a
counter shows each of its values once a lap. Two live messages of a boot whose clocks differ by a
whole lap show that it has lapped.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

AnchorKind = Literal["exchange", "arrival", "queued", "device_clock"]

DRIFT = 100e-6 / (1 - 100e-6)
"""How far a device's clock may drift: 100 ppm of its own rate, which in wall time is a little
more."""

LAP_MS = 2.0**32
HALF_A_LAP_MS = 2**31
"""Who fell by more than this began anew."""

TOLERANCE_MS = 6 * 3_600_000.0
"""So far from a whole number of laps two anchors may be: the crystal's drift over some laps, and a
server's clock that is off by hours."""

SOON_MS = 7 * 86_400_000.0
"""Of a counter that is known to lap, a moment is taken for the latest that it can have been if its
frame came within this. A device that keeps frames for longer must count further."""


class Anchor(NamedTuple):
    """A moment known on both clocks; `ClockAnchor` describes the kinds."""

    kind: AnchorKind
    up_ms: float
    wall_ms: float
    error_ms: float = 0.0


_LAP_AT_MOST_MS = LAP_MS * (1 + 2 * DRIFT)


def laps_of(anchors: Iterable[Anchor]) -> dict[Anchor, int]:
    """In which lap each anchor was, counted from the earliest; those of the first are left out.

    A message that waited in the broker bounds from above alone: it stays in the first lap, where it
    says least.
    """
    known = list(anchors)
    starts = [one.wall_ms - one.up_ms for one in known if one.kind in {"exchange", "arrival"}]
    if not starts or max(starts) - min(starts) < LAP_MS - TOLERANCE_MS:
        return {}
    laps: dict[Anchor, int] = {}
    for one in known:
        behind_ms = one.wall_ms - one.up_ms - min(starts)
        lap = round(behind_ms / LAP_MS)
        if one.kind != "queued" and lap > 0 and abs(behind_ms - lap * LAP_MS) <= TOLERANCE_MS:
            laps[one] = lap
    return laps


def lap_by(room_ms: float, *, has_lapped: bool) -> tuple[int, float]:
    """The lap of a moment which lies `room_ms` before its frame's arrival if it was in the first
    one; and by how much that may be wrong."""
    most = math.floor((room_ms + TOLERANCE_MS) / LAP_MS) if math.isfinite(room_ms) else 0
    if most == 0:
        return 0, 0.0
    if most > 0 and not has_lapped:
        return (
            0,
            most * _LAP_AT_MOST_MS,
        )  # a frame that was kept for months, or a lap that nobody saw
    came_after_ms = room_ms - most * LAP_MS
    return most, 0.0 if came_after_ms <= SOON_MS else max(most, 1) * _LAP_AT_MOST_MS
