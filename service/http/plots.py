"""Pictures as answers: tagged by what they show, so that an unchanged one is never drawn again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NamedTuple

import marshmallow as ma
from flask import Response

from cymba.insights.pair_inputs import METHOD_VERSION
from cymba.insights.pictures import THEMES, USUAL, Form, Picture
from cymba.voice import Voice
from service.http.etags import set_etag
from service.http.fields import Schema, Text, Whole
from service.http.openapi import Resource

SVG: Final = "image/svg+xml"
PNG: Final = "image/png"
_FORMATS: Final[tuple[tuple[str, str, dict[str, Any]], ...]] = (
    ("plot.svg", SVG, {"type": "string"}),
    ("plot.png", PNG, {"type": "string", "format": "binary"}),
)
DRAWING_VERSION = 5  # +1 with every change of what the pictures look like


class ThemeSchema(Schema):
    theme = Text(
        load_default="light", validate=ma.validate.OneOf(list(THEMES)), about="The page's colours"
    )
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


class Drawing(NamedTuple):
    """`shown_hash` stands for the data, so that the ETag is known before anything is drawn."""

    picture: Picture
    shown_hash: str
    voice: Voice


Load = Callable[..., Drawing]


def drawn(blp: Resource, rule: str, query: type[Schema] = ThemeSchema) -> Callable[[Load], Load]:
    """Two routes for what the decorated function loads: `plot.svg` and `plot.png` below `rule`."""

    def register(load: Load) -> Load:
        for file, content_type, content in _FORMATS:
            view = blp.answers(200, content, content_type=content_type)(_view(load, content_type))
            blp.get(f"{rule}/{file}")(blp.query(query)(blp.etag(view)))
        return load

    return register


def _view(load: Load, content_type: str) -> Callable[..., Response]:
    @wraps(load)
    def draw(query: dict[str, Any], **names: str) -> Response:
        return _answer(load(query, **names), query, content_type)

    if content_type == PNG:
        draw.__name__ += "_png"
        draw.__doc__ = "The same picture as PNG, at twice the pixels"
    return draw


def _answer(drawing: Drawing, query: dict[str, Any], content_type: str) -> Response:
    theme, form = THEMES[query["theme"]], Form(query["width"], query["text_percent"] / 100)
    key = (
        f"{DRAWING_VERSION} {METHOD_VERSION} {drawing.shown_hash} {drawing.voice.locale} "
        f"{theme.name} {form} {content_type}"
    )
    response = Response(content_type=content_type)
    if set_etag(response, key.encode()).status_code == 304:
        return response
    draw = drawing.picture.svg if content_type == SVG else drawing.picture.png
    response.set_data(draw(theme, form))
    # Nothing in it may run, even if a browser opens it by itself.
    response.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    )
    return response
