"""A side effect over the sessions: every answer, and the fitted share with its band."""

import math

import numpy as np

from cymba.insights import sentences
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import SMALL, Page, Picture, ticks
from cymba.insights.side_effects import SideEffect
from cymba.insights.words import Voice

JITTER = 0.045  # in shares, so that answers beside each other can be told apart


def picture_of_side_effect(found: SideEffect, voice: Voice) -> Picture:
    trend, sessions = found.trend, found.present.size
    title = voice.translate(found.outcome.title)
    told = sentences.of_side_effect(voice, found.outcome, trend, sessions)
    parts = [
        voice.say(
            captions.SIDE_EFFECT_ALT,
            sentence=told,
            yes=voice.number(trend.yes, 0),
            n=voice.number(trend.n, 0),
            sessions=voice.number(sessions, 0),
        )
    ]
    has_curve = not math.isnan(trend.slope)
    if has_curve:
        share, low, high = trend.probability([1.0, float(sessions)])
        parts.append(
            voice.say(
                captions.SIDE_EFFECT_ALT_CURVE,
                first=voice.percent(float(share[0])),
                first_low=voice.percent(float(low[0])),
                first_high=voice.percent(float(high[0])),
                last=voice.percent(float(share[1])),
                last_low=voice.percent(float(low[1])),
                last_high=voice.percent(float(high[1])),
                sessions=voice.number(sessions, 0),
            )
        )

    def draw(page: Page) -> None:
        page.paragraph(told)
        page.caption(voice.translate(captions.SIDE_EFFECT_Y))
        axes = page.panel(210, below=46)
        answered = np.flatnonzero(np.isfinite(found.present))
        jitter = JITTER * ((answered * 7) % 5 - 2) / 2
        axes.plot(
            answered + 1, found.present[answered] + jitter, "o", color=page.theme.done,
            markersize=4, alpha=0.75, mew=0,
        )  # fmt: skip
        if has_curve:
            numbers = np.linspace(1, max(sessions, 2), 200)
            share, low, high = trend.probability(numbers)
            axes.fill_between(numbers, low, high, color=page.theme.felt, alpha=0.22, lw=0)
            axes.plot(numbers, share, color=page.theme.felt, linewidth=2.5)
        ticks(axes, voice, x=True)
        axes.set_ylim(-0.1, 1.1)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_yticklabels(
            [voice.percent(share) for share in (0, 0.25, 0.5, 0.75, 1)], parse_math=False
        )
        axes.set_xlim(0, max(sessions, 15) + 1)
        page.label(axes, x=voice.translate(captions.SIDE_EFFECT_X))
        page.paragraph(
            voice.translate(captions.SIDE_EFFECT_DOTS), size=SMALL, colour=page.theme.muted
        )

    return Picture(voice.say(captions.SIDE_EFFECT_TITLE, effect=title), " ".join(parts), draw)
