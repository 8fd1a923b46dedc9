"""The whole of an item's own scale on an axis, with what its ends mean."""

from typing import Any

from cymba.diary.items import ITEMS
from cymba.diary.values import IntegerRange
from cymba.insights.outcomes import Outcome
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import tick, ticks
from cymba.voice import Voice

ROOM = 0.05  # of the scale, beyond its ends: half a dot would be cut off


def whole_scale(axes: Any, outcome: Outcome, voice: Voice) -> None:
    """All of the scale, whatever part of it was used; what has none gets the usual ticks."""
    ends = ends_of(outcome)
    if ends is None:
        axes.margins(y=0.08)
        ticks(axes, voice)
        return
    low, high = ends
    room = ROOM * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.set_yticks([low, (low + high) / 2, high])
    axes.yaxis.set_major_formatter(lambda value, _: tick(voice, value))


def ends_named(outcome: Outcome, voice: Voice) -> str:
    """What the ends mean, in words; empty where there is no scale."""
    ends = ends_of(outcome)
    if ends is None:
        return ""
    best, worst = ends if outcome.worse == "higher" else reversed(ends)
    return voice.say(captions.SCALE_ENDS, best=tick(voice, best), worst=tick(voice, worst))


def ends_of(outcome: Outcome) -> tuple[int, int] | None:
    value = ITEMS[outcome.item].value
    return (value.low, value.high) if isinstance(value, IntegerRange) else None
