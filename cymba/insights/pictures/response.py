"""A symptom then and now: every day's rating, and the means of the two periods."""

import math
from typing import Any

import numpy as np

from cymba.insights import sentences
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import SMALL, Page, Picture, line
from cymba.insights.pictures.dates import date_ticks
from cymba.insights.pictures.scales import ends_named, whole_scale
from cymba.insights.responses import Comparison, Period
from cymba.insights.statistics import ResponseGrade
from cymba.insights.statistics.response import MODERATE_RATIO
from cymba.voice import Voice


def picture_of_response(compared: Comparison, voice: Voice) -> Picture:
    found = compared.response
    title = voice.translate(compared.outcome.title)
    sentence = sentences.of_response(
        voice, compared.outcome, found, until=compared.current.last_day
    )
    parts = [sentence]
    until = voice.day(compared.current.last_day)
    has_means = not (math.isnan(found.baseline_mean) or math.isnan(found.current_mean))
    if has_means:
        parts.append(
            voice.say(
                captions.RESPONSE_ALT_MEANS,
                before=voice.number(found.baseline_mean),
                before_days=voice.number(found.baseline_n, 0),
                now=voice.number(found.current_mean),
                now_days=voice.number(found.current_n, 0),
                until=until,
            )
        )

    def draw(page: Page) -> None:
        page.paragraph(sentence)
        ends = ends_named(compared.outcome, voice)
        page.note(f"{title} ({ends})" if ends else title)
        axes = page.panel(230)
        at = np.arange(compared.whole.values.size)
        page.dots(axes, at, compared.whole.values, page.theme.felt, size=3.8)
        _draw_period(axes, page, compared, compared.baseline, found.baseline_mean)
        _draw_period(axes, page, compared, compared.current, found.current_mean)
        has_goal = compared.outcome.worse == "higher" and not math.isnan(found.baseline_mean)
        if has_goal:
            goal = found.baseline_mean * (1 + MODERATE_RATIO)
            axes.axhline(goal, color=page.theme.muted, linewidth=1.2, linestyle=(0, (4, 3)))
        date_ticks(axes, page, voice, compared.whole.first_day, at.size)
        whole_scale(axes, compared.outcome, voice)
        for template, mean in (
            (captions.AT_FIRST, found.baseline_mean),
            (captions.LATELY, found.current_mean),
        ):
            if not math.isnan(mean):
                page.paragraph(
                    voice.say(template, mean=voice.number(mean), until=until), size=SMALL
                )
        if has_goal:
            page.note(voice.translate(captions.THIRTY_PERCENT))

    return Picture(voice.say(captions.RESPONSE_TITLE, outcome=title), " ".join(parts), draw)


def _draw_period(axes: Any, page: Page, compared: Comparison, period: Period, mean: float) -> None:
    if not period.values.size:
        return
    begin = (period.first_day - compared.whole.first_day).days - 0.5
    end = begin + period.values.size
    axes.axvspan(begin, end, color=page.theme.shade, lw=0, zorder=0)
    for side in (begin, end):
        axes.axvline(side, color=page.theme.muted, linewidth=0.8)
    if not math.isnan(mean):
        is_shown = compared.response.grade is not ResponseGrade.NOT_ENOUGH
        axes.plot([begin, end], [mean, mean], color=page.theme.ink, **line(is_shown, width=3))
