"""Heart-rate variability from beat-to-beat intervals.

RMSSD is the root mean square of successive differences of normal intervals (Task Force of the
ESC and NASPE, Circulation 1996;93:1043). What counts as normal is Malik's rule, which is not
from that paper: 300–2000 ms, and within 20 % of the interval before. From an optical sensor the
result is pulse-rate variability. Nothing here says what a value means for a person.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST_MS = 300
LONGEST_MS = 2_000
LARGEST_STEP = 0.2  # of the interval before
MAX_ARTEFACT_SHARE = 0.1
MIN_DIFFERENCES = 60  # about a minute of beats; with fewer the value is mostly noise


@dataclass(frozen=True, slots=True)
class Variability:
    """`artefact_share` is null without beats; `rmssd_ms` also with too few or too poor ones."""

    rmssd_ms: float | None
    artefact_share: float | None


def variability(rr_ms: NDArray[np.float64], follows: NDArray[np.bool_]) -> Variability:
    """RMSSD of `rr_ms`; `follows[i]` says that beat i came right after beat i-1, with no gap.

    A difference is taken only between two successive normal beats, never across a removed one.
    Beats without a neighbour are judged by the range alone.
    """
    if rr_ms.size == 0:
        return Variability(None, None)
    in_range = (rr_ms >= SHORTEST_MS) & (rr_ms <= LONGEST_MS)
    step = np.abs(np.diff(rr_ms))
    neighbours = follows[1:] & in_range[:-1]
    normal = in_range.copy()
    normal[1:] &= ~(neighbours & (step > LARGEST_STEP * rr_ms[:-1]))
    share = 1.0 - float(np.mean(normal))
    differences = step[normal[1:] & normal[:-1] & follows[1:]]
    if share > MAX_ARTEFACT_SHARE or differences.size < MIN_DIFFERENCES:
        return Variability(None, share)
    return Variability(float(np.sqrt(np.mean(np.square(differences)))), share)
