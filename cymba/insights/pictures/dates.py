"""Days on an axis, named as the person's language does."""

from datetime import date
from typing import Any

from babel.dates import format_date, format_skeleton

from cymba.insights.pictures.canvas import Page, set_ticks
from cymba.voice import Voice

LONGEST = 7  # characters of a day: "30. Apr"
NEAR_EDGE = 0.92  # of the axis: a label in the middle of its tick would be cut off


def date_ticks(axes: Any, page: Page, voice: Voice, first: date, days: int) -> None:
    """As many ticks as have room, over `days` days from `first`, at x = 0, 1 …: at month
    starts where there are two, and years where they matter."""
    most = min(page.labels_beside(LONGEST), 5)
    places = _month_starts(first, days, most) or list(range(0, days, max(1, -(-days // most))))
    skeleton = "yMMM" if days > 365 else "MMMd"
    labels = [short_day(_day(first, place), voice, skeleton=skeleton) for place in places]
    set_ticks(axes, [float(place) for place in places], labels)
    axes.set_xlim(-1, max(days, 2))
    for place, drawn in zip(places, axes.xaxis.get_major_ticks(len(places)), strict=True):
        if place > NEAR_EDGE * days:
            drawn.label1.set_ha("right")


def short_day(day: date, voice: Voice, *, skeleton: str = "MMMd") -> str:
    if skeleton in voice.locale.datetime_skeletons:
        return str(format_skeleton(skeleton, day, locale=voice.locale))
    return str(format_date(day, "medium", locale=voice.locale))


def _day(first: date, place: int) -> date:
    return date.fromordinal(first.toordinal() + place)


def _month_starts(first: date, days: int, most: int) -> list[int]:
    starts = [place for place in range(days) if _day(first, place).day == 1]
    step = -(-len(starts) // most)
    return starts[::step] if len(starts) > 1 else []
