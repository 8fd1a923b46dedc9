"""Pictures as answers: tagged by what they show, so that an unchanged one is never drawn again."""

from typing import Final, Literal

import marshmallow as ma
from flask import Response

from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.pictures import THEMES, Picture
from cymba.insights.words import Voice
from service.http.etags import set_etag
from service.http.fields import Schema, Text

Kind = Literal["svg", "png"]
SVG: Final = "image/svg+xml"
PNG: Final = "image/png"
DRAWING_VERSION = 2  # +1 with every change of what the pictures look like


class ThemeSchema(Schema):
    theme = Text(load_default="light", validate=ma.validate.OneOf(list(THEMES)))


def plot(picture: Picture, kind: Kind, theme: str, *, shown_hash: str, voice: Voice) -> Response:
    """`shown_hash` stands for the data; an ETag without drawing needs no more than that."""
    key = f"{DRAWING_VERSION} {METHOD_VERSION} {shown_hash} {voice.locale} {theme} {kind}"
    response = Response(content_type=SVG if kind == "svg" else PNG)
    if set_etag(response, key.encode()).status_code == 304:
        return response
    drawn = picture.svg(THEMES[theme]) if kind == "svg" else picture.png(THEMES[theme])
    response.set_data(drawn)
    # It is a picture and nothing more, also for who opens it by itself.
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response
