"""The API's document, and a page that shows it; neither needs anything from elsewhere."""

from importlib.resources import files
from typing import Any

from flask import Response, current_app

from service.http.answers import MEDIA_TYPE, dumps
from service.http.etags import set_etag
from service.http.openapi import Resource

blp = Resource("docs", "This document")

_ASSETS = files("service") / "page"
_POLICY = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'"
_KEY = "cymba-openapi"


def keep(document: dict[str, Any]) -> dict[str, bytes]:
    """The finished document as the application holds it: in bytes, made once."""
    return {_KEY: dumps(document)}


@blp.get("/v1/openapi.json")
@blp.public
@blp.answers(200, {"type": "object"}, description="OpenAPI 3.1")
@blp.etag
def get_openapi() -> Response:
    """This document"""
    body: bytes = current_app.extensions[_KEY]
    return set_etag(Response(body, content_type=MEDIA_TYPE), body)


@blp.get("/docs")
@blp.public
@blp.answers(200, {"type": "string"}, content_type="text/html; charset=utf-8", description="A page")
@blp.etag
def show_docs() -> Response:
    """This document, to read and to try in a browser"""
    return _asset("docs.html", "text/html; charset=utf-8")


@blp.get("/docs/docs.js")
@blp.public
@blp.answers(
    200, {"type": "string"}, content_type="text/javascript; charset=utf-8", description="Its script"
)
@blp.etag
def get_docs_script() -> Response:
    """The page's script"""
    return _asset("docs.js", "text/javascript; charset=utf-8")


@blp.get("/docs/docs.css")
@blp.public
@blp.answers(
    200, {"type": "string"}, content_type="text/css; charset=utf-8", description="Its style"
)
@blp.etag
def get_docs_style() -> Response:
    """The page's style"""
    return _asset("docs.css", "text/css; charset=utf-8")


def _asset(name: str, content_type: str) -> Response:
    body = (_ASSETS / name).read_bytes()
    response = Response(body, content_type=content_type)
    response.headers["Content-Security-Policy"] = _POLICY
    return set_etag(response, body)
