"""Which frames have a channel: the sets of channels that occur, and which of them each has."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from cymba.stimulation.archive.integer_columns import Integers


class Layouts:
    def __init__(
        self, layouts: Iterable[Collection[str]], of_frames: Sequence[int] | Integers
    ) -> None:
        """`of_frames`: which of `layouts` each frame has."""
        self._having: dict[str, list[int]] = {}
        count = 0
        for count, names in enumerate(layouts, 1):
            for name in names:
                self._having.setdefault(name, []).append(count - 1)
        self._count = count
        self._of_frames = np.asarray(of_frames, dtype=np.int64)

    def frames(self, channel: str) -> NDArray[np.intp]:
        """Those that have the channel."""
        has_it = np.zeros(self._count, dtype=np.bool_)
        has_it[self._having.get(channel, [])] = True
        return np.flatnonzero(has_it[self._of_frames])
