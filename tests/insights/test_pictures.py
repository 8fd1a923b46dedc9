"""Pictures: the same from every thread, readable colours, and words for who cannot see them."""

import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from cymba.insights.pictures import DARK, LIGHT, Picture, Theme
from cymba.insights.pictures.canvas import WIDTH, Page, tick
from cymba.insights.pictures.pair import observed
from cymba.insights.tables import Finding
from cymba.insights.words import Voice
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


def test_every_picture_is_as_wide_as_a_phone_and_has_its_words(
    drawn: dict[str, Picture],
) -> None:
    assert len(drawn) == 9
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
