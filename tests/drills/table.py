"""What the drills have shown, printed at the end of `make drill`."""

from typing import NamedTuple


class DrillRow(NamedTuple):
    drill: str
    recovery_s: float  # from the end of the fault until frames are freed again
    lost: int | None  # of frames; None where the drill sends none
    doubled: int | None
    operator_saw: str


ROWS: list[DrillRow] = []


def lines() -> list[str]:
    width = max(len(row.drill) for row in ROWS)
    head = f"{'drill':<{width}}  recovery  lost  doubled  what the operator saw"
    return [head] + [
        f"{row.drill:<{width}}  {row.recovery_s:>6.1f} s  {_count(row.lost):>4}"
        f"  {_count(row.doubled):>7}"
        f"  {row.operator_saw}"
        for row in ROWS
    ]


def _count(frames: int | None) -> str:
    return "–" if frames is None else str(frames)
