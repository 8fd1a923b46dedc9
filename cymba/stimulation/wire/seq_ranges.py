"""Sets of sequence numbers: those resolved in a store, or already sent to a live view."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence


class SeqRanges:
    """A set of sequence numbers, as the sorted bounds of its half-open ranges."""

    __slots__ = ("_bounds",)

    def __init__(self, written: str = "{}") -> None:
        """`written` is how PostgreSQL writes an int8multirange: `{[1,4201),[4205,4212)}`."""
        inside = written[2:-2]
        if written.count(",") == 1:  # nearly always
            low, _, high = inside.partition(",")
            self._bounds = [int(low), int(high)]
            return
        inside = inside.replace("),[", ",")
        self._bounds = [int(bound) for bound in inside.split(",")] if inside else []

    @classmethod
    def of(cls, ranges: Iterable[tuple[int, int]]) -> "SeqRanges":
        """From the first and last number of each range. The ranges are in order and disjoint."""
        made = cls()
        for first, last in ranges:
            if made._bounds and made._bounds[-1] == first:
                made._bounds[-1] = last + 1
            else:
                made._bounds += (first, last + 1)
        return made

    @classmethod
    def of_sorted(cls, seqs: Sequence[int]) -> "SeqRanges":
        """From numbers of which none stands there twice."""
        if seqs and seqs[-1] - seqs[0] == len(seqs) - 1:  # nearly always
            made = cls()
            made._bounds = [seqs[0], seqs[-1] + 1]
            return made
        return cls.of((seq, seq) for seq in seqs)

    def __contains__(self, seq: int) -> bool:
        return bisect_right(self._bounds, seq) % 2 == 1

    def __str__(self) -> str:
        if len(self._bounds) == 2:  # nearly always
            return one_range(self._bounds[0], self._bounds[1] - 1)
        bounds = iter(self._bounds)
        return "{" + ",".join(f"[{low},{high})" for low, high in zip(bounds, bounds)) + "}"  # noqa: B905 - the same iterator twice makes pairs

    @property
    def count(self) -> int:
        """How many ranges it has."""
        return len(self._bounds) // 2

    def ranges(self) -> list[tuple[int, int]]:
        """First and last of each, in order."""
        bounds = self._bounds
        return [(bounds[i], bounds[i + 1] - 1) for i in range(0, len(bounds), 2)]

    def index(self, seq: int) -> int | None:
        """How many are before `seq`, if that is in it."""
        bounds = self._bounds
        at = bisect_right(bounds, seq)
        if at % 2 == 0:
            return None
        before = sum(bounds[i + 1] - bounds[i] for i in range(0, at - 1, 2))
        return before + seq - bounds[at - 1]

    def has_room_for(self, seq: int, max_ranges: int) -> bool:
        """Whether it has no more ranges than that once `seq` is added."""
        bounds = self._bounds
        if len(bounds) < 2 * max_ranges:
            return True
        at = bisect_right(bounds, seq)
        joins_before = at > 0 and bounds[at - 1] == seq
        joins_after = at < len(bounds) and bounds[at] == seq + 1
        return at % 2 == 1 or joins_before or joins_after

    def add(self, seq: int) -> None:
        bounds = self._bounds
        at = bisect_right(bounds, seq)
        if at % 2 == 1:
            return
        joins_before = at > 0 and bounds[at - 1] == seq
        joins_after = at < len(bounds) and bounds[at] == seq + 1
        if joins_before and joins_after:
            del bounds[at - 1 : at + 1]
        elif joins_before:
            bounds[at - 1] = seq + 1
        elif joins_after:
            bounds[at] = seq
        else:
            bounds[at:at] = (seq, seq + 1)

    @property
    def upto(self) -> int:
        """The highest number up to which all are in it; 0 if 1 is not."""
        return self._bounds[1] - 1 if self._bounds and self._bounds[0] == 1 else 0

    def beyond(self, seqs: Iterable[int] | None = None) -> list[tuple[int, int]]:
        """First and last of the ranges after `upto`: all, or those that hold one of `seqs`."""
        bounds = self._bounds
        first = 2 if bounds and bounds[0] == 1 else 0
        if len(bounds) == first:
            return []
        starts: Iterable[int] = range(first, len(bounds), 2)
        if seqs is not None:
            places = {bisect_right(bounds, seq) for seq in seqs}
            starts = sorted(at - 1 for at in places if at % 2 == 1 and at > first)
        return [(bounds[at], bounds[at + 1] - 1) for at in starts]


def one_range(first: int, last: int) -> str:
    """How PostgreSQL writes a set of one range."""
    return f"{{[{first},{last + 1})}}"
