"""Some symptoms below each other, day by day, with the mean at first, and the sessions below."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from cymba.insights.days import Floats
from cymba.insights.outcomes import Outcome
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, Picture, ticks
from cymba.insights.pictures.dates import date_ticks
from cymba.insights.pictures.days import dot
from cymba.insights.pictures.history import SESSIONS
from cymba.insights.pictures.scales import ends_named, whole_scale
from cymba.voice import Voice

HEIGHT = 58
DOT = 3.4  # at the least: the picture is made smaller where it is printed


@dataclass(frozen=True, slots=True)
class Rated:
    """felt: (D,) mean rating of each day, NaN unrated; at_first: the mean at first, or NaN."""

    outcome: Outcome
    felt: Floats
    at_first: float


def picture_of_ratings(
    first_day: date, rated: Sequence[Rated], sessions: Floats, voice: Voice
) -> Picture:
    """sessions: (D,) of each day, NaN where it is not known."""

    at, unknown = np.arange(sessions.size), np.flatnonzero(np.isnan(sessions))

    def draw(page: Page) -> None:
        if any(not math.isnan(one.at_first) for one in rated):
            page.note(voice.translate(captions.BASELINE_LINE))
        for one in rated:
            title, ends = voice.translate(one.outcome.title), ends_named(one.outcome, voice)
            page.note(f"{title} ({ends})" if ends else title)
            axes = page.panel(HEIGHT, below=4)
            page.dots(axes, at, one.felt, page.theme.felt, size=max(DOT, dot(at.size)))
            if not math.isnan(one.at_first):
                dashed = {"linewidth": 1.1, "linestyle": (0, (4, 3))}
                axes.axhline(one.at_first, color=page.theme.ink, **dashed)
            axes.tick_params(labelbottom=False, bottom=False)
            whole_scale(axes, one.outcome, voice)
            date_ticks(axes, page, voice, first_day, sessions.size)
        page.note(voice.translate(SESSIONS))
        below = page.panel(HEIGHT / 2)
        below.bar(at, np.nan_to_num(sessions), width=0.9, color=page.theme.done)
        nothing = np.zeros(unknown.size)
        below.plot(unknown, nothing, "x", color=page.theme.muted, markersize=5, clip_on=False)
        below.set_ylim(0, max(1.0, float(np.nan_to_num(sessions).max(initial=0))))
        ticks(below, voice, most=2)
        date_ticks(below, page, voice, first_day, sessions.size)
        if unknown.size:
            page.note(voice.translate(captions.NOT_KNOWN))

    return Picture(voice.translate(captions.RATINGS_TITLE), _alt(rated, voice), draw)


def _alt(rated: Sequence[Rated], voice: Voice) -> str:
    parts = []
    for one in rated:
        known = one.felt[np.isfinite(one.felt)]
        parts.append(
            voice.say(
                captions.RATINGS_ALT,
                outcome=voice.translate(one.outcome.title),
                n=voice.number(known.size, 0),
                mean=voice.number(float(known.mean())) if known.size else "–",
            )
        )
        if not math.isnan(one.at_first):
            at_first = voice.number(one.at_first)
            parts.append(voice.say(captions.RATINGS_ALT_BASELINE, mean=at_first))
    return " ".join(parts)
