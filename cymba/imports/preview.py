"""What was understood of a file, in counts: what a person sees before they confirm."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from cymba.imports.found import LeftOut

MAX_EXAMPLES: Final = 50
_UNSHOWN: Final = {"other-kind", "nothing-mapped"}  # most rows of a file; counted alone


@dataclass(slots=True)
class _Kind:
    count: int = 0
    duplicates: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None


@dataclass(slots=True)
class Understood:
    """Counts while a file is read. Its memory does not grow with the file."""

    kinds: dict[str, _Kind] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: list[LeftOut] = field(default_factory=list)
    without_time: int = 0
    said_twice: int = 0

    def leave_out(self, one: LeftOut) -> None:
        self.left_out[one.reason] += 1
        if one.reason not in _UNSHOWN and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(one)

    def take(self, kind: str, at: datetime) -> None:
        of_kind = self.kinds.setdefault(kind, _Kind())
        of_kind.count += 1
        of_kind.first_at = min(of_kind.first_at or at, at)
        of_kind.last_at = max(of_kind.last_at or at, at)

    def duplicate(self, kind: str, count: int) -> None:
        """Of those that were taken, so many are here already, or were in the file before."""
        if count:
            self.kinds[kind].duplicates += count

    def shown(self, zone: ZoneInfo) -> dict[str, Any]:
        return {
            "kinds": [
                {
                    "kind": name,
                    "count": kind.count,
                    "duplicates": kind.duplicates,
                    "first_day": _day(kind.first_at, zone),
                    "last_day": _day(kind.last_at, zone),
                }
                for name, kind in sorted(self.kinds.items())
            ],
            "left_out": [
                {"reason": reason, "count": count} for reason, count in self.left_out.most_common()
            ],
            "left_out_rows": [{"reason": one.reason, "line": one.line} for one in self.examples],
            "without_time": self.without_time,
            "said_twice": self.said_twice,
        }


def _day(at: datetime | None, zone: ZoneInfo) -> str | None:
    return None if at is None else at.astimezone(zone).date().isoformat()
