"""A page as wide as a phone, on which panels stand below each other; all measures in its pixels.

No pyplot and no shared settings beyond two that are always set alike, so that threads can draw.
Matplotlib caches fonts and glyphs without locks, so only one of them does draw at a time. It is
imported by what draws: most processes never do.
"""

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from threading import Lock
from typing import Any
from xml.sax.saxutils import escape

from cymba.insights.pictures.themes import Theme
from cymba.voice import Voice

WIDTH = 390
MARGIN_LEFT, MARGIN_RIGHT = 52, 16
DPI = 72  # of an SVG: one point is one pixel
PNG_DPI = 2 * DPI
TEXT, SMALL, TITLE = 13, 12, 16
_EM = 0.56  # a character's mean width in the built-in font

_drawing = Lock()


@dataclass(frozen=True, slots=True)
class Form:
    """How wide a page is, in pixels, and how large its text, as a share of the usual."""

    width: int = WIDTH
    text: float = 1.0


USUAL = Form()


@dataclass(frozen=True, slots=True)
class Picture:
    """`alt` says in words what the picture shows."""

    title: str
    alt: str
    draw: Callable[["Page"], None]

    def svg(self, theme: Theme, form: Form = USUAL) -> bytes:
        with _drawing:
            import matplotlib as mpl  # noqa: PLC0415
            from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415

            mpl.rcParams["svg.hashsalt"] = "cymba"  # the same picture, the same bytes
            mpl.rcParams["svg.fonttype"] = "none"  # text stays text: to be read aloud, enlarged
            page = self.drawn(theme, form)
            sink = BytesIO()
            canvas: Any = FigureCanvasSVG(page.figure)  # untyped
            canvas.print_svg(sink, metadata={"Date": None})
        return _accessible(sink.getvalue().decode(), self.title, self.alt).encode()

    def png(self, theme: Theme, form: Form = USUAL) -> bytes:
        """At twice the pixels of the page."""
        with _drawing:
            from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415

            page = self.drawn(theme, form)
            page.figure.set_dpi(PNG_DPI)
            sink = BytesIO()
            canvas: Any = FigureCanvasAgg(page.figure)  # untyped
            canvas.print_png(sink, metadata={"Title": self.title, "Description": self.alt})
        return sink.getvalue()

    def drawn(self, theme: Theme, form: Form = USUAL) -> "Page":
        page = Page(theme, form)
        page.heading(self.title)
        self.draw(page)
        page.close()
        return page


class Page:
    """Filled from the top; its height is what was put on it."""

    def __init__(self, theme: Theme, form: Form = USUAL) -> None:
        from matplotlib.figure import Figure  # noqa: PLC0415

        self.theme = theme
        self.width, self._scale = form.width, form.text
        self.small = SMALL * form.text
        self.figure = Figure(figsize=(self.width / DPI, 1), dpi=DPI, facecolor=theme.ground)
        self._top = 12.0
        self._texts: list[tuple[float, Any]] = []
        self._panels: list[tuple[float, float, Any]] = []

    def heading(self, text: str) -> None:
        self.paragraph(text, size=TITLE, weight="bold")

    def caption(self, text: str) -> None:
        self._top += 12
        self.paragraph(text, weight="bold")

    def paragraph(
        self, text: str, *, size: float = TEXT, weight: str = "normal", colour: str | None = None
    ) -> None:
        """Text over the page's width, in as many lines as it takes."""
        size *= self._scale
        wide = 1.1 if weight == "bold" else 1.0
        across = int((self.width - 2 * MARGIN_RIGHT) / (size * _EM * wide))
        lines = textwrap.wrap(text.replace(" %", "\N{NO-BREAK SPACE}%"), across)
        drawn = self.figure.text(
            MARGIN_RIGHT / self.width,
            0,
            "\n".join(lines),
            fontsize=size,
            fontweight=weight,
            color=colour or self.theme.ink,
            va="top",
            linespacing=1.3,
            parse_math=False,
        )
        self._texts.append((self._top, drawn))
        self._top += size * 1.55 * len(lines) + 4

    def panel(self, height: float, *, below: float = 34) -> Any:
        """Axes of so many pixels; `below` is room for the labels under them."""
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set_facecolor(self.theme.ground)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(self.theme.muted)
        axes.tick_params(colors=self.theme.muted, labelsize=self.small, length=3)
        axes.grid(visible=True, axis="y", color=self.theme.grid, linewidth=0.8)
        axes.set_axisbelow(True)
        self._top += 6
        self._panels.append((self._top, height, axes))
        self._top += height + below * self._scale
        return axes

    def note(self, text: str) -> None:
        """Small and quiet: what an axis is, or what a mark means."""
        self.paragraph(text, size=SMALL, colour=self.theme.muted)

    def label(self, axes: Any, x: str) -> None:
        axes.set_xlabel(x, fontsize=self.small, color=self.theme.muted, parse_math=False)

    def labels_beside(self, characters: int) -> int:
        """How many labels of so many characters have room beside each other under a panel."""
        return max(1, int(self._across / ((characters + 1) * _EM * self.small)))

    def room(self, height: float) -> None:
        self._top += height

    def close(self) -> None:
        """Give everything its place, now that the height is known."""
        height = self._top + 4
        self.figure.set_size_inches(self.width / DPI, height / DPI)
        for top, text in self._texts:
            text.set_y(1 - top / height)
        across = self._across / self.width
        left = self.width - MARGIN_RIGHT - self._across
        for top, tall, axes in self._panels:
            axes.set_position((left / self.width, 1 - (top + tall) / height, across, tall / height))

    @property
    def _across(self) -> float:
        """Of a panel; left of it is room for its numbers."""
        return self.width - MARGIN_LEFT * max(self._scale, 1.0) - MARGIN_RIGHT

    def dots(self, axes: Any, x: Any, y: Any, colour: str, *, size: float) -> None:
        """Each with a rim of the ground, so that those that lie on each other can be told apart."""
        axes.plot(
            x, y, "o", color=colour, markersize=size, markeredgecolor=self.theme.ground, mew=0.5
        )

    def band(self, axes: Any, x: Any, low: Any, high: Any, colour: str) -> None:
        """An area between two lines: its tint is too faint to be seen by everybody."""
        axes.fill_between(x, low, high, color=colour, alpha=0.22, lw=0)
        for end in (low, high):
            axes.plot(x, end, color=colour, linewidth=1)


def line(is_bold: bool, *, width: float = 2.0) -> dict[str, Any]:
    """How a line is drawn: thin and broken where the days cannot tell."""
    return {"linewidth": width} if is_bold else {"linewidth": 1, "linestyle": (0, (3, 3))}


def ticks(axes: Any, voice: Voice, *, x: bool = False, most: int = 5) -> None:
    """Few ticks, their numbers written as the person's language does."""
    axes.locator_params("both" if x else "y", nbins=most, steps=[1, 2, 5, 10])
    for axis in [axes.yaxis, *([axes.xaxis] if x else [])]:
        axis.set_major_formatter(lambda value, _: tick(voice, value))


def tick(voice: Voice, value: float) -> str:
    """A number on an axis: digits after the point only where it has some."""
    digits = next((few for few in (0, 1, 2) if abs(value - round(value, few)) < 1e-9), 3)
    return voice.number(value, digits)


def set_ticks(axes: Any, places: Sequence[float], labels: Sequence[str]) -> None:
    axes.set_xticks(places)
    axes.set_xticklabels(labels, parse_math=False)


def _accessible(svg: str, title: str, alt: str) -> str:
    """With its text alternative first, and in the pixels of the page."""
    begin = svg.index("<svg ")
    head, body = svg[begin:].split(">", 1)
    head = re.sub(r'(width|height)="([0-9.]+)pt"', r'\1="\2"', head)
    head += ' role="img" aria-labelledby="title desc"'
    words = f'<title id="title">{escape(title)}</title>\n <desc id="desc">{escape(alt)}</desc>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n {words}{body}'
