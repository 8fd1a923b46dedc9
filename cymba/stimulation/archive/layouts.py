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
        self._found: dict[tuple[int, ...], NDArray[np.intp]] = {}

    def frames(self, channel: str) -> NDArray[np.intp]:
        """Those that have the channel."""
        having = tuple(self._having.get(channel, ()))
        if (found := self._found.get(having)) is None:  # channels that come together share it
            has_it = np.zeros(self._count, dtype=np.bool_)
            has_it[list(having)] = True
            found = self._found[having] = has_it[self._of_frames].nonzero()[0]
        return found
