"""Pictures: the same from every thread, readable colours, and words for who cannot see them."""

import re
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba
from matplotlib.text import Text

from cymba.insights.pictures import DARK, LIGHT, THEMES, USUAL, Form, Picture, Theme, captions
from cymba.insights.pictures.canvas import WIDTH, Page, line, tick
from cymba.insights.pictures.history import FAINTEST, STRONGEST, tinted
from cymba.insights.pictures.pair import is_shown, observed
from cymba.insights.tables import Finding
from cymba.voice import LANGUAGES, Voice
from ops.pictures import PEOPLE, pictures

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    return {
        f"{person.name}-{name}": picture
        for person in PEOPLE
        for name, picture in pictures(person).items()
    }


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_text_and_marks_stand_out_from_their_ground(theme: Theme) -> None:
    for ground in (theme.ground, theme.shade):
        assert min(contrast(text, ground) for text in (theme.ink, theme.muted)) >= 4.5
        assert min(contrast(mark, ground) for mark in (theme.felt, theme.done)) >= 3


def blended(mark: tuple[float, ...], ground: str, alpha: float | None) -> str:
    """The colour that is seen where a mark lies on its ground."""
    share = mark[3] if alpha is None else alpha
    below = [int(ground[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    seen = [share * m + (1 - share) * b for m, b in zip(mark[:3], below, strict=True)]
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in seen)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_all_that_is_drawn_stands_out_from_its_ground(
    drawn: dict[str, Picture], theme: Theme
) -> None:
    """Dots and lines by the colour that is seen; an area, whose tint may be faint, by its edges."""
    for name, picture in drawn.items():
        for axes in picture.drawn(theme).figure.axes:
            for mark in axes.lines:
                face = to_rgba(mark.get_color())
                if mark.get_marker() != "None":
                    face = to_rgba(mark.get_markerfacecolor())
                    if to_hex(face) == theme.ground:  # hollow
                        face = to_rgba(mark.get_markeredgecolor())
                for ground in (theme.ground, theme.shade):
                    seen = blended(face, ground, mark.get_alpha())
                    assert contrast(seen, ground) >= 3, (name, seen, ground)
            edges = len(axes.lines)
            areas = len(axes.collections) + sum(
                to_hex(patch.get_facecolor()) == theme.shade for patch in axes.patches
            )
            assert edges >= 2 * areas, name


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_a_number_stands_out_from_the_day_it_is_of(theme: Theme) -> None:
    for share in (FAINTEST, STRONGEST):
        assert contrast(theme.ink, tinted(theme, share)) >= 4.5
        assert contrast(theme.done, tinted(theme, share)) >= 3


@pytest.mark.parametrize("form", [USUAL, Form(width=320, text=2.0)], ids=["usual", "large"])
def test_no_text_is_cut_off_and_no_label_lies_on_another(
    drawn: dict[str, Picture], form: Form
) -> None:
    for name, picture in drawn.items():
        figure = picture.drawn(LIGHT, form).figure
        FigureCanvasAgg(figure).draw()
        for text in [*figure.texts, *(text for axes in figure.axes for text in seen_in(axes))]:
            box = text.get_window_extent()
            assert box.x0 >= 0, (name, text.get_text())
            assert box.x1 <= form.width, (name, text.get_text())
        for axes in figure.axes:
            labels = [(one.get_window_extent(), one.get_text()) for one in labels_in(axes.xaxis)]
            for (left, told), (right, _) in pairwise(sorted(labels, key=lambda one: one[0].x0)):
                assert left.x1 <= right.x0, (name, told)


def labels_in(axis: Any) -> list[Text]:
    """Matplotlib keeps labels of ticks outside of the view too, and draws none of them."""
    low, high = sorted(axis.get_view_interval())
    ticks = [one for one in axis.get_major_ticks() if low <= one.get_loc() <= high]
    labels = [label for one in ticks for label in (one.label1, one.label2)]
    return [label for label in labels if label.get_visible() and label.get_text()]


def seen_in(axes: Any) -> list[Text]:
    return [*axes.texts, axes.title, *labels_in(axes.xaxis), *labels_in(axes.yaxis)]


def test_width_and_text_can_be_asked_for_and_text_stays_text(drawn: dict[str, Picture]) -> None:
    picture = drawn["effect-pair"]
    usual, large = (
        ET.fromstring(picture.svg(LIGHT, form))  # noqa: S314 - our own
        for form in (USUAL, Form(width=600, text=1.5))
    )
    assert large.get("viewBox", "").split()[2] == "600"

    def sizes(root: ET.Element) -> set[str]:
        styles = [text.get("style", "") for text in root.iter(f"{SVG}text")]
        return {size for style in styles for size in re.findall(r"([0-9.]+)px", style)}

    assert {"12", "13", "16"} <= sizes(usual)
    assert {"18", "19.5", "24"} <= sizes(large)
    words = " ".join("".join(text.itertext()) for text in usual.iter(f"{SVG}text"))
    assert picture.title in words


def test_a_scale_is_shown_whole_and_its_months_by_their_starts(
    drawn: dict[str, Picture],
) -> None:
    for name in ("effect-pair", "effect-response", "two-weeks-pair"):
        axes = drawn[name].drawn(LIGHT).figure.axes[0]
        low, high = axes.get_ylim()
        assert low < 0, name
        assert high > 10, name
    dates = drawn["effect-response"].drawn(LIGHT).figure.axes[0]
    told = [label.get_text() for label in dates.get_xticklabels()]
    assert all(re.match(r"1 ", label) for label in told), told


def test_no_line_stands_out_where_the_days_cannot_tell() -> None:
    collecting = Finding(grade="not_enough", looks=[])
    assert not is_shown(collecting)
    assert line(is_shown(collecting))["linewidth"] <= 1
    assert line(is_shown(Finding(grade="moderate", looks=[])))["linewidth"] > 1


def test_every_picture_is_as_wide_as_a_phone_and_has_its_words(
    drawn: dict[str, Picture],
) -> None:
    assert len(drawn) == 21
    for name, picture in drawn.items():
        root = ET.fromstring(picture.svg(LIGHT))  # noqa: S314 - our own
        assert root.get("viewBox", "").split()[2] == str(WIDTH), name
        assert root.find(f"{SVG}title").text == picture.title
        assert root.find(f"{SVG}desc").text == picture.alt
        assert "nan" not in picture.alt


def test_threads_draw_the_same_as_one_alone(drawn: dict[str, Picture]) -> None:
    jobs = [(drawn[name], theme) for name in list(drawn)[:4] for theme in (LIGHT, DARK)]
    alone = [picture.svg(theme) for picture, theme in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda job: job[0].svg(job[1]), jobs))
    assert together == alone
    assert len(set(alone)) == len(alone)


def test_a_picture_without_an_estimate_shows_no_fit(drawn: dict[str, Picture]) -> None:
    heights = {
        name: float(ET.fromstring(drawn[name].svg(LIGHT)).get("height", ""))  # noqa: S314
        for name in ("effect-pair", "two-weeks-pair")
    }
    assert heights["two-weeks-pair"] < heights["effect-pair"] / 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_count_that_may_be_one_stands_before_no_plural(language: str) -> None:
    """As "(1 days)"; what is told of four weeks alone has more."""
    more_than_one = {captions.RESPONSE_ALT_MEANS}
    plural = re.compile(r"\{(?!sentence)\w+\} (days|sessions|answers|Tagen?|Sitzungen|Antworten)\b")
    for caption in set(captions.CAPTIONS) - more_than_one:
        text = Voice.of(language).translate(caption)
        assert not plural.search(text), text


def test_a_title_with_signs_of_markup_stays_text() -> None:
    told = "less <b> & $x$ than"
    root = ET.fromstring(  # noqa: S314
        Picture(told, told, lambda page: page.paragraph(told)).svg(LIGHT)
    )
    assert root.find(f"{SVG}desc").text == told


def test_lines_are_broken_before_the_edge() -> None:
    page = Page(LIGHT)
    page.paragraph("wide words " * 30)
    page.close()
    (text,) = page.figure.texts
    box = text.get_window_extent(FigureCanvasAgg(page.figure).get_renderer())
    assert box.x1 < WIDTH


def test_a_number_on_an_axis_has_no_digits_that_say_nothing() -> None:
    english, german = Voice.of("en"), Voice.of("de")
    assert [tick(english, value) for value in (2.0, 0.5, -0.25)] == ["2", "0.5", "-0.25"]
    assert tick(german, 0.5) == "0,5"


def test_a_tested_finding_draws_its_days_and_not_its_trial() -> None:
    """The trial's effect is of other days and doses: through these dots it would be no fit."""
    days = {"effect": -0.8, "low": -1.4, "high": -0.2}
    tested = Finding(grade="tested", effect=-2.0, low=-2.9, high=-1.1, looks=[days])
    assert observed(tested) == (-0.8, -1.4, -0.2)
    assert observed(Finding(grade="tested", effect=-2.0, low=-2.9, high=-1.1, looks=[])) is None
    refused = {"effect": None, "low": None, "high": None}
    assert observed(Finding(grade="not_enough", looks=[days, refused])) is None
