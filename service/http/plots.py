"""Pictures as answers: tagged by what they show, so that an unchanged one is never drawn again."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import marshmallow as ma
from flask import Response

from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.pictures import THEMES, USUAL, Form, Picture
from cymba.insights.words import Voice
from service.http.etags import set_etag
from service.http.fields import Schema, Text, Whole

Kind = Literal["svg", "png"]
SVG: Final = "image/svg+xml"
PNG: Final = "image/png"
DRAWING_VERSION = 5  # +1 with every change of what the pictures look like


class ThemeSchema(Schema):
    theme = Text(load_default="light", validate=ma.validate.OneOf(list(THEMES)))
    width = Whole(
        in_query=True,
        load_default=USUAL.width,
        validate=ma.validate.Range(min=320, max=1024),
        metadata={"description": "In pixels"},
    )
    text_percent = Whole(
        in_query=True,
        load_default=100,
        validate=ma.validate.Range(min=80, max=200),
        metadata={"description": "Size of the text, of the usual"},
    )


def plot(
    picture: Picture, kind: Kind, query: Mapping[str, Any], *, shown_hash: str, voice: Voice
) -> Response:
    """`query`: of `ThemeSchema`. `shown_hash` stands for the data; an ETag without drawing needs no
    more than that."""
    theme, form = THEMES[query["theme"]], Form(query["width"], query["text_percent"] / 100)
    key = (
        f"{DRAWING_VERSION} {METHOD_VERSION} {shown_hash} {voice.locale} {theme.name} {form} {kind}"
    )
    response = Response(content_type=SVG if kind == "svg" else PNG)
    if set_etag(response, key.encode()).status_code == 304:
        return response
    drawn = picture.svg(theme, form) if kind == "svg" else picture.png(theme, form)
    response.set_data(drawn)
    # It is a picture and nothing more, also for who opens it by itself.
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    return response
