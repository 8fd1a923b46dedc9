"""Colours, light and dark, that keep apart for colour-blind eyes (Okabe & Ito 2008).

Colour never says anything alone: what is felt is dots, what was done is bars. Text has a contrast
of at least 4.5 to its ground and marks of at least 3 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Theme:
    name: str
    ground: str
    ink: str
    muted: str  # labels and axes
    grid: str  # mere guides to the eye
    felt: str
    done: str
    shade: str  # areas behind the marks


LIGHT = Theme(
    name="light",
    ground="#ffffff",
    ink="#1b1b1f",
    muted="#565b64",
    grid="#d9dce1",
    felt="#0072b2",
    done="#c75000",
    shade="#eceef1",
)
DARK = Theme(
    name="dark",
    ground="#15171c",
    ink="#eceef2",
    muted="#a9afba",
    grid="#3a3f4a",
    felt="#56b4e9",
    done="#e69f00",
    shade="#252932",
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}
