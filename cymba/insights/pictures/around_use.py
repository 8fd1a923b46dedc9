"""Before and after the sessions of a day, beside the same hours of days without any.

Alone, the first would mislead: people stimulate in bad hours, and a bad hour passes by itself.
"""

import numpy as np

from cymba.insights.days import Floats
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, Picture, set_ticks
from cymba.insights.pictures.scales import ends_named, whole_scale
from cymba.insights.symptom_days import AroundUse
from cymba.insights.words import DISCLAIMER
from cymba.voice import Voice

LEAST_DAYS = 5  # of which a mean is shown
JITTER = 0.16


def picture_of_around_use(seen: AroundUse, voice: Voice) -> Picture:
    title = voice.translate(seen.outcome.title)
    sentences = [
        _sentence(captions.AROUND_USED, seen.used, voice),
        _sentence(captions.AROUND_WITHOUT, seen.without, voice),
    ]
    why = voice.translate(captions.AROUND_WHY)
    closing = voice.translate(DISCLAIMER)

    def draw(page: Page) -> None:
        page.paragraph(f"{why} {closing}")
        ends = ends_named(seen.outcome, voice)
        if ends:
            page.note(ends)
        for pairs, sentence in zip((seen.used, seen.without), sentences, strict=True):
            page.paragraph(sentence)
            _draw_pairs(page, seen, pairs, voice)

    alt = " ".join([*sentences, why, closing])
    return Picture(voice.say(captions.AROUND_TITLE, outcome=title), alt, draw)


def _sentence(template: str, pairs: Floats, voice: Voice) -> str:
    n = pairs.shape[1]
    if n < LEAST_DAYS:
        before = after = voice.translate(captions.NOT_YET)
    else:
        before, after = (voice.number(float(mean)) for mean in pairs.mean(axis=1))
    return voice.say(template, before=before, after=after, n=voice.number(n, 0))


def _draw_pairs(page: Page, seen: AroundUse, pairs: Floats, voice: Voice) -> None:
    axes = page.panel(130, below=40)
    n = pairs.shape[1]
    jitter = JITTER * ((np.arange(n) * 7) % 11 - 5) / 5
    for place, values in enumerate(pairs):
        page.dots(axes, place + jitter, values, page.theme.felt, size=3.6)
    if n >= LEAST_DAYS:
        means = pairs.mean(axis=1)
        axes.plot([0, 1], means, color=page.theme.ink, linewidth=2.5)
        page.dots(axes, [0, 1], means, page.theme.ink, size=9)
    whole_scale(axes, seen.outcome, voice)
    axes.set_xlim(-0.5, 1.5)
    set_ticks(axes, [0, 1], [voice.translate(name) for name in (captions.BEFORE, captions.AFTER)])
