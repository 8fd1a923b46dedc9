"""Days on an axis, named as the person's language does."""

from datetime import date
from typing import Any

from babel.dates import format_date, format_skeleton

from cymba.insights.pictures.canvas import set_ticks
from cymba.insights.words import Voice

MOST_TICKS = 5


def date_ticks(axes: Any, voice: Voice, first: date, days: int) -> None:
    """At most five ticks over `days` days from `first`, at x = 0, 1 …: at month starts where there
    are two, and years where they matter."""
    places = _month_starts(first, days) or list(range(0, days, max(1, -(-days // MOST_TICKS))))
    skeleton = "yMMM" if days > 365 else "MMMd"
    labels = [
        str(
            format_skeleton(skeleton, _day(first, place), locale=voice.locale)
            if skeleton in voice.locale.datetime_skeletons
            else format_date(_day(first, place), "medium", locale=voice.locale)
        )
        for place in places
    ]
    set_ticks(axes, [float(place) for place in places], labels)
    axes.set_xlim(-1, max(days, 2))


def _day(first: date, place: int) -> date:
    return date.fromordinal(first.toordinal() + place)


def _month_starts(first: date, days: int) -> list[int]:
    starts = [place for place in range(days) if _day(first, place).day == 1]
    step = -(-len(starts) // MOST_TICKS)
    return starts[::step] if len(starts) > 1 else []
