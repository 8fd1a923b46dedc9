"""The insights as pictures for a phone, each as SVG or PNG with a text that says the same."""

from cymba.insights.pictures.around_use import picture_of_around_use
from cymba.insights.pictures.canvas import USUAL, Form, Picture
from cymba.insights.pictures.history import picture_of_calendar, picture_of_timeline
from cymba.insights.pictures.pair import picture_of_pair
from cymba.insights.pictures.response import picture_of_response
from cymba.insights.pictures.side_effect import picture_of_side_effect
from cymba.insights.pictures.themes import DARK, LIGHT, THEMES, Theme

__all__ = [
    "DARK",
    "LIGHT",
    "THEMES",
    "USUAL",
    "Form",
    "Picture",
    "Theme",
    "picture_of_around_use",
    "picture_of_calendar",
    "picture_of_pair",
    "picture_of_response",
    "picture_of_side_effect",
    "picture_of_timeline",
]
