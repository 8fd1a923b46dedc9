"""A pair of exposure and outcome: the days, the fit with its band, and the lag profile."""

from typing import Any

import numpy as np

from cymba.insights import sentences
from cymba.insights.pairs import PairView
from cymba.insights.pictures import captions
from cymba.insights.pictures.canvas import Page, Picture, line, set_ticks, tick, ticks
from cymba.insights.pictures.days import Shown, draw_days
from cymba.insights.tables import Finding
from cymba.voice import Voice

LAGS = (0, 1, 2, 3)


def picture_of_pair(view: PairView, voice: Voice) -> Picture:
    names = _Names(view, voice)
    spoken = [sentences.of_finding(voice, view.finding)]
    digits = sentences.digits(view.finding.outcome)
    for one in view.lags:
        seen = observed(one)
        if seen is not None:
            effect, low, high = (voice.number(value, digits) for value in seen)
            spoken.append(
                voice.say(
                    captions.PAIR_ALT_LAG,
                    lag=voice.translate(captions.LAG_NAMES[one.lag]),
                    effect=effect,
                    low=low,
                    high=high,
                )
            )
    alt = voice.say(
        captions.PAIR_ALT,
        sentence=spoken[0],
        days=voice.number(len(view.dates), 0),
        outcome=names.outcome_inside,
        exposure=names.exposure_inside,
    )

    def draw(page: Page) -> None:
        page.paragraph(spoken[0])
        _draw_days(page, view, voice, names)
        _draw_fit(page, view, voice, names)
        if any(observed(one) is not None for one in view.lags):
            _draw_lags(page, view, voice, names)

    title = voice.say(captions.PAIR_TITLE, outcome=names.outcome, exposure=names.exposure_inside)
    return Picture(title, " ".join([alt, *spoken[1:]]), draw)


def observed(finding: Finding) -> tuple[float, float, float] | None:
    """What the days themselves say at the last milestone: effect, low and high, None if refused.

    Of a finding that is `tested` the effect is its trial's, which is of other days and doses.
    """
    last = finding.looks[-1] if finding.looks else None
    if last is None or None in (last["effect"], last["low"], last["high"]):
        return None
    return last["effect"], last["low"], last["high"]


def is_shown(finding: Finding) -> bool:
    """Whether it says anything: of too few days no line is to stand out."""
    return finding.grade not in {"collecting", "not_enough"}


class _Names:
    """Titles as they begin a line, and as they stand inside one."""

    def __init__(self, view: PairView, voice: Voice) -> None:
        self.exposure = sentences.exposure_title(voice, view.exposure.name)
        self.outcome = sentences.outcome_title(voice, view.outcome.name)
        self.exposure_inside = sentences.inside(voice, self.exposure)
        self.outcome_inside = sentences.inside(voice, self.outcome)
        unit = view.exposure.unit
        self.exposure_unit = "" if unit == "1" or unit.startswith("{") else f" ({unit})"


def _draw_days(page: Page, view: PairView, voice: Voice, names: _Names) -> None:
    page.caption(voice.translate(captions.YOUR_DAYS))
    template = captions.NEXT_MORNING if view.finding.lag else captions.SAME_DAY
    shown = Shown(
        first_day=view.dates[0],
        outcome=view.outcome,
        felt=view.felt,
        felt_title=voice.say(template, outcome=names.outcome),
        done=view.exposed,
        done_title=names.exposure + names.exposure_unit,
        felt_after=view.finding.lag,
        tells_unknown=view.exposure.is_amount,
    )
    draw_days(page, voice, shown)


def _draw_fit(page: Page, view: PairView, voice: Voice, names: _Names) -> None:
    seen, full = observed(view.finding), view.full
    if seen is None or full is None:
        return
    page.caption(voice.translate(captions.FIT))
    page.note(voice.say(captions.FIT_Y, outcome=names.outcome))
    axes = page.panel(200, below=28)
    x = full.partial_x
    ends = np.array([x.min(), 0.0, x.max()])
    # Per unit of the exposure; through 0, as both sides have had their means taken out.
    slope, low, high = (value / (view.finding.contrast or np.nan) for value in seen)
    page.band(axes, ends, low * ends, high * ends, page.theme.felt)
    page.dots(axes, x, full.partial_y, page.theme.felt, size=4)
    axes.plot(ends, slope * ends, color=page.theme.ink, **line(is_shown(view.finding)))
    axes.axhline(0, color=page.theme.muted, linewidth=0.8)
    ticks(axes, voice, x=True)
    label = voice.say(captions.FIT_X, exposure=names.exposure) + names.exposure_unit
    page.note(label)


def _draw_lags(page: Page, view: PairView, voice: Voice, names: _Names) -> None:
    page.caption(voice.translate(captions.LAGS))
    page.note(voice.say(captions.LAGS_Y, exposure=names.exposure_inside))
    axes = page.panel(150, below=26)
    mid = view.outcome.minimal_difference
    axes.axhspan(-mid, mid, color=page.theme.shade, lw=0)
    for end in (-mid, mid):
        axes.axhline(end, color=page.theme.muted, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(0, color=page.theme.muted, linewidth=1)
    by_lag = {one.lag: one for one in view.lags}
    for lag in LAGS:
        if not view.outcome.reaches_before(lag):
            _draw_lag(
                axes,
                page,
                by_lag.get(lag),
                lag,
                voice,
                is_bold=lag == view.finding.lag and is_shown(view.finding),
            )
    axes.set_xlim(-0.5, len(LAGS) - 0.5)
    names_of_lags = [voice.translate(name) for name in captions.LAG_NAMES]
    has_room = page.labels_beside(max(map(len, names_of_lags))) >= len(LAGS)
    set_ticks(axes, LAGS, names_of_lags if has_room else [voice.number(lag, 0) for lag in LAGS])
    ticks(axes, voice)
    note = voice.say(captions.SMALLER_THAN_MATTERS, mid=tick(voice, mid))
    page.note(note)


def _draw_lag(
    axes: Any, page: Page, found: Finding | None, lag: int, voice: Voice, *, is_bold: bool
) -> None:
    seen = observed(found) if found is not None else None
    if seen is None:
        axes.text(
            lag, 0, voice.translate(captions.NOT_YET), ha="center", va="bottom",
            fontsize=page.small, color=page.theme.muted, parse_math=False,
        )  # fmt: skip
        return
    effect, low, high = seen
    axes.plot(
        [lag, lag], [low, high], color=page.theme.felt, lw=3 if is_bold else 1.8,
        solid_capstyle="butt",
    )  # fmt: skip
    axes.plot(
        lag, effect, "o", color=page.theme.felt, markersize=9 if is_bold else 7,
        markerfacecolor=page.theme.felt if is_bold else page.theme.ground, mew=1.8,
    )  # fmt: skip
