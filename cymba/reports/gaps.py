"""Stretches of days of which something is not known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

MOST_SPANS = 12
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    first_day: date
    last_day: date

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1


@dataclass(frozen=True, slots=True)
class Gaps:
    """`spans`: the longest, in the order of their days."""

    days: int
    spans: Sequence[Span]
    more: int  # spans that are not in `spans`


def gaps(days: Sequence[date]) -> Gaps:
    """`days`: those of which it is not known, in order."""
    spans: list[Span] = []
    for day in days:
        if spans and spans[-1].last_day + _DAY == day:
            spans[-1] = Span(spans[-1].first_day, day)
        else:
            spans.append(Span(day, day))
    longest = sorted(spans, key=lambda span: -span.days)[:MOST_SPANS]
    shown = sorted(longest, key=lambda span: span.first_day)
    return Gaps(len(days), shown, len(spans) - len(shown))
