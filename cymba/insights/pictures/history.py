"""A symptom's days with the sessions as marks: in a row, and as a calendar."""

import math
from datetime import date, timedelta
from typing import Any

import numpy as np
from babel.dates import get_day_names

from cymba.insights.exposures import EXPOSURES
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, Picture, tick
from cymba.insights.pictures.dates import short_day
from cymba.insights.pictures.days import Shown, draw_days
from cymba.insights.pictures.scales import ends_named, ends_of
from cymba.insights.pictures.themes import Theme
from cymba.insights.sentences import inside
from cymba.insights.symptom_days import SymptomDays
from cymba.voice import Voice

SESSIONS = next(one.title for one in EXPOSURES if one.name == "sessions")
FAINTEST, STRONGEST = 0.05, 0.28  # tint of a day: number and dots on it keep their contrast
ROW = 2.3  # height of a week, in its text's
MOST_DOTS = 3


def picture_of_timeline(seen: SymptomDays, voice: Voice) -> Picture:
    title = voice.translate(seen.outcome.title)
    sentence = _sentence(seen, voice)

    def draw(page: Page) -> None:
        page.paragraph(sentence)
        shown = Shown(
            first_day=seen.first_day,
            outcome=seen.outcome,
            felt=seen.felt,
            felt_title=voice.say(captions.MEAN_OF_DAY, outcome=title),
            done=seen.sessions,
            done_title=voice.translate(SESSIONS),
        )
        draw_days(page, voice, shown)

    return Picture(voice.say(captions.TIMELINE_TITLE, outcome=title), sentence, draw)


def picture_of_calendar(seen: SymptomDays, voice: Voice) -> Picture:
    title = voice.translate(seen.outcome.title)
    sentence = _sentence(seen, voice)

    def draw(page: Page) -> None:
        page.paragraph(sentence)
        ends = ends_named(seen.outcome, voice)
        for text in (ends, voice.translate(captions.CALENDAR_MARKS)):
            if text:
                page.note(text)
        if np.isnan(seen.sessions).any():
            page.note(voice.translate(captions.NOT_KNOWN))
        page.room(2 * page.small)
        _draw_weeks(page, seen, voice)

    return Picture(voice.say(captions.CALENDAR_TITLE, outcome=title), sentence, draw)


def _sentence(seen: SymptomDays, voice: Voice) -> str:
    rated = seen.felt[np.isfinite(seen.felt)]
    days = voice.say(
        captions.HISTORY_DAYS,
        days=voice.number(seen.felt.size, 0),
        used=voice.number(int((np.nan_to_num(seen.sessions) > 0).sum()), 0),
    )
    if not rated.size:
        return " ".join([days, voice.translate(captions.HISTORY_UNRATED)])
    said = voice.say(
        captions.HISTORY_RATED,
        outcome=inside(voice, voice.translate(seen.outcome.title)),
        rated=voice.number(rated.size, 0),
        mean=voice.number(float(rated.mean())),
        low=tick(voice, round(float(rated.min()), 1)),
        high=tick(voice, round(float(rated.max()), 1)),
    )
    return f"{days} {said}"


def _draw_weeks(page: Page, seen: SymptomDays, voice: Voice) -> None:
    monday = seen.first_day - timedelta(days=seen.first_day.weekday())
    before = seen.first_day.weekday()
    weeks = -(-(before + seen.felt.size) // 7)
    axes = page.panel(weeks * ROW * page.small, below=8)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(0, 7)
    axes.set_ylim(weeks, 0)
    for day in range(seen.felt.size):
        week, weekday = divmod(before + day, 7)
        _draw_rating(axes, page, voice, seen, day, at=(weekday, week))
        _draw_sessions(axes, page, seen.sessions[day], at=(weekday, week))
    has_room = page.labels_beside(3) >= 7
    names = get_day_names(
        "short" if has_room else "narrow", context="stand-alone", locale=voice.locale
    )
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(7) + 0.5, [names[day] for day in range(7)], parse_math=False)
    months = [_month_begun(monday + timedelta(weeks=week), voice) for week in range(1, weeks)]
    months.insert(0, short_day(seen.first_day, voice, skeleton="MMM"))
    axes.set_yticks(np.arange(weeks) + 0.5, months, parse_math=False)
    axes.tick_params(length=0)


def _month_begun(monday: date, voice: Voice) -> str:
    """The month that begins in a week; nothing where none does."""
    sunday = monday + timedelta(days=6)
    return short_day(sunday, voice, skeleton="MMM") if sunday.day <= 7 else ""


def _draw_rating(
    axes: Any, page: Page, voice: Voice, seen: SymptomDays, day: int, *, at: tuple[int, int]
) -> None:
    from matplotlib.patches import Rectangle  # noqa: PLC0415 - as in `canvas`

    theme, (x, y), felt = page.theme, at, float(seen.felt[day])
    is_rated = not math.isnan(felt)
    tint = FAINTEST + (STRONGEST - FAINTEST) * _worse(seen, felt) if is_rated else 0.0
    axes.add_patch(
        Rectangle(
            (x + 0.03, y + 0.04), 0.94, 0.92,
            facecolor=tinted(theme, tint), edgecolor=theme.grid, lw=0.8,
        )
    )  # fmt: skip
    if is_rated:
        axes.text(
            x + 0.5, y + 0.4, tick(voice, round(felt)), ha="center", va="center",
            fontsize=page.small, color=theme.ink, parse_math=False,
        )  # fmt: skip


def _draw_sessions(axes: Any, page: Page, sessions: float, *, at: tuple[int, int]) -> None:
    middle, y = at[0] + 0.5, at[1] + 0.82
    if math.isnan(sessions):
        axes.plot(middle, y, "x", color=page.theme.muted, markersize=4)
        return
    dots = min(int(sessions), MOST_DOTS)
    beside = middle + 0.16 * (np.arange(dots) - (dots - 1) / 2)
    axes.plot(beside, np.full(dots, y), "o", color=page.theme.done, markersize=4.2)


def _worse(seen: SymptomDays, felt: float) -> float:
    """0 at the scale's best end, 1 at its worst; of what has no scale, within its own range."""
    low, high = ends_of(seen.outcome) or (np.nanmin(seen.felt), np.nanmax(seen.felt))
    share = (felt - low) / (high - low) if high > low else 0.5
    return float(share if seen.outcome.worse == "higher" else 1 - share)


def tinted(theme: Theme, share: float) -> str:
    from matplotlib.colors import to_hex, to_rgb  # noqa: PLC0415 - as in `canvas`

    mark, ground = np.array(to_rgb(theme.felt)), np.array(to_rgb(theme.ground))
    return str(to_hex(tuple(share * mark + (1 - share) * ground)))
