"""A side effect over the sessions: every answer, and the share fitted at the last milestone."""

import math

import numpy as np

from cymba.insights import sentences
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, Picture, line, ticks
from cymba.insights.side_effects import SideEffect
from cymba.insights.statistics import Course, trend_band
from cymba.voice import Voice

CURVE_POINTS = 48
JITTER = 0.045  # in shares, so that answers beside each other can be told apart


def picture_of_side_effect(found: SideEffect, voice: Voice) -> Picture:
    trend, sessions = found.trend, found.present.size
    title = voice.translate(found.outcome.title)
    sentence = sentences.of_side_effect(voice, found.outcome, trend, found.answers)
    parts = [
        voice.say(
            captions.SIDE_EFFECT_ALT,
            sentence=sentence,
            yes=voice.number(found.yes, 0),
            n=voice.number(found.answers, 0),
            sessions=voice.number(sessions, 0),
        )
    ]
    has_curve = not math.isnan(trend.slope)
    if has_curve:
        parts.extend(_curve_in_words(found, voice))

    def draw(page: Page) -> None:
        page.paragraph(sentence)
        page.caption(voice.translate(captions.SIDE_EFFECT_Y))
        axes = page.panel(210, below=46)
        answered = np.flatnonzero(np.isfinite(found.present))
        jitter = JITTER * ((answered * 7) % 5 - 2) / 2
        page.dots(axes, answered + 1, found.present[answered] + jitter, page.theme.done, size=4.2)
        if has_curve:
            numbers = np.geomspace(1, trend.sessions, CURVE_POINTS)
            band = trend_band(found.present, trend, numbers)
            if band is not None:
                page.band(axes, numbers, *band, page.theme.felt)
            share = trend.probability(numbers)
            is_shown = trend.course is not Course.NOT_ENOUGH
            axes.plot(numbers, share, color=page.theme.ink, **line(is_shown, width=2.5))
        ticks(axes, voice, x=True)
        axes.set_ylim(-0.1, 1.1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_yticklabels(
            [voice.percent(share) for share in (0, 0.25, 0.5, 0.75, 1)], parse_math=False
        )
        axes.set_xlim(0, max(sessions, 15) + 1)
        page.label(axes, voice.translate(captions.SIDE_EFFECT_X))
        page.note(voice.translate(captions.SIDE_EFFECT_DOTS))

    return Picture(voice.say(captions.SIDE_EFFECT_TITLE, effect=title), " ".join(parts), draw)


def _curve_in_words(found: SideEffect, voice: Voice) -> list[str]:
    trend = found.trend
    ends = [1.0, float(trend.sessions)]
    shares = [voice.percent(float(share)) for share in trend.probability(ends)]
    last = voice.number(trend.sessions, 0)
    said = [
        voice.say(captions.SIDE_EFFECT_ALT_CURVE, first=shares[0], last=shares[1], sessions=last)
    ]
    band = trend_band(found.present, trend, ends)
    if band is not None:
        low, high = ([voice.percent(float(end)) for end in side] for side in band)
        said.append(
            voice.say(
                captions.SIDE_EFFECT_ALT_BAND,
                first_low=low[0],
                first_high=high[0],
                last_low=low[1],
                last_high=high[1],
                sessions=last,
            )
        )
    return said
