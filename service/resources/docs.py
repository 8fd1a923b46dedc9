"""What this is, the API's document, and a page that shows it; nothing comes from elsewhere."""

import gzip
from importlib.resources import files
from pathlib import Path
from typing import Final

from flask import Response, current_app, request

from cymba.errors import NotFound
from service.http import out
from service.http.answers import MEDIA_TYPE, tagged
from service.http.document import document_of
from service.http.etags import set_etag
from service.http.examples import example_of
from service.http.fields import Schema
from service.http.openapi import Resource

blp = Resource("docs", "This document")

_PAGES: Final = Path(str(files("service") / "page"))
REFERENCE = _PAGES / "scalar.js.gz"  # by `make reference`
HTML: Final = "text/html; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
# Scalar writes its styles into the page; with a nonce the page could not be asked for by its tag.
# Scripts come from files alone, and nothing comes from, or goes to, any other host.
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class ApiPagesSchema(Schema):
    """Paths on this server, for people and for machines."""

    app = out.text("/app/", "The companion, where it was built")
    docs = out.text("/docs", "The API, to read and to try in a browser")
    openapi = out.text("/v1/openapi.json", "The same as OpenAPI 3.1")
    alive = out.text("/healthz", "Whether the process answers")
    ready = out.text("/readyz", "Whether it can serve: database, schema and broker")
    metrics = out.text("/metrics", "How it goes, for Prometheus")


class ApiIndexSchema(Schema):
    name = out.text("Cymba")
    about = out.text("The backend of a companion app for transcutaneous vagus nerve stimulators.")
    pages = out.nested(ApiPagesSchema)


_INDEX = example_of(ApiIndexSchema)


@blp.get("/")
@blp.public
@blp.answers(200, ApiIndexSchema)
@blp.answers(200, {"type": "string"}, content_type=HTML)
@blp.etag
def show_index() -> Response:
    """What this is, and where its pages are"""
    wanted = request.accept_mimetypes.best_match([MEDIA_TYPE, "text/html"])
    response = _asset("index.html", HTML) if wanted == "text/html" else tagged(_INDEX)
    response.vary.add("Accept")
    return response


@blp.get("/v1/openapi.json")
@blp.public
@blp.answers(200, {"type": "object"}, description="OpenAPI 3.1")
@blp.etag
def get_openapi() -> Response:
    """This document"""
    body = document_of(current_app).body
    return set_etag(Response(body, content_type=MEDIA_TYPE), body)


@blp.get("/docs")
@blp.public
@blp.answers(200, {"type": "string"}, content_type=HTML, description="A page")
@blp.etag
def show_docs() -> Response:
    """This document, to read and to try in a browser"""
    return _asset("docs.html", HTML)


@blp.get("/docs/docs.js")
@blp.public
@blp.answers(200, {"type": "string"}, content_type=SCRIPT, description="Its script")
@blp.etag
def get_docs_script() -> Response:
    """The page's script"""
    return _asset("docs.js", SCRIPT)


@blp.get("/docs/scalar.js")
@blp.public
@blp.answers(200, {"type": "string"}, content_type=SCRIPT, description="The reference's script")
@blp.etag
@blp.problems("not-found")
def get_reference_script() -> Response:
    """Scalar, which shows the document; 404 where `make reference` has not built it"""
    if not REFERENCE.is_file():
        raise NotFound("The reference was not built here. `make reference` builds it.")
    packed = REFERENCE.read_bytes()
    if request.accept_encodings["gzip"] > 0:
        response = Response(packed, content_type=SCRIPT)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(gzip.decompress(packed), content_type=SCRIPT)
    response.vary.add("Accept-Encoding")
    return set_etag(response, packed)


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
    body = (_PAGES / name).read_bytes()
    response = Response(body, content_type=content_type)
    response.headers["Content-Security-Policy"] = POLICY
    return set_etag(response, body)
