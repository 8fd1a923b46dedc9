"""Days above each other: how each felt as a dot, and what was done on it as a bar."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from cymba.insights.days import Floats
from cymba.insights.outcomes import Outcome
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, ticks
from cymba.insights.pictures.dates import date_ticks
from cymba.insights.pictures.scales import ends_named, whole_scale
from cymba.voice import Voice


@dataclass(frozen=True, slots=True)
class Shown:
    """`felt_after`: so many days before a rating stands the day that it is paired with."""

    first_day: date
    outcome: Outcome
    felt: Floats
    felt_title: str
    done: Floats
    done_title: str
    felt_after: int = 0
    tells_unknown: bool = True


def draw_days(page: Page, voice: Voice, shown: Shown) -> None:
    at = np.arange(shown.felt.size)
    ends = ends_named(shown.outcome, voice)
    page.note(f"{shown.felt_title} ({ends})" if ends else shown.felt_title)
    above = page.panel(130, below=10)
    page.dots(above, at - shown.felt_after, shown.felt, page.theme.felt, size=dot(at.size))
    above.tick_params(labelbottom=False, bottom=False)
    above.spines["bottom"].set_visible(False)
    whole_scale(above, shown.outcome, voice)
    page.note(shown.done_title)
    below = page.panel(70)
    below.bar(at, np.nan_to_num(shown.done), width=0.9, color=page.theme.done)
    unknown = np.flatnonzero(np.isnan(shown.done))
    below.plot(
        unknown, np.zeros(unknown.size), "x", color=page.theme.muted, markersize=5, clip_on=False
    )
    below.set_ylim(bottom=0)
    ticks(below, voice, most=3)
    if unknown.size and shown.tells_unknown:
        page.note(voice.translate(captions.NOT_KNOWN))
    for axes in (above, below):
        date_ticks(axes, page, voice, shown.first_day, at.size)


def dot(days: int) -> float:
    return 4.5 if days <= 120 else 3.2 if days <= 365 else 2.2
