"""The companion, the web app that is served with the API: its built files, and the rules it is
under."""

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, current_app

from cymba.errors import NotFound
from service.http.etags import set_etag

pages = Blueprint("companion", __name__)

BUILT: Final = Path(str(files("service") / "page" / "app"))  # by `make app`
INDEX: Final = "index.html"
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # a picture that needs a token is read by the script
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Text becomes a script, or a part of the page, by the app's one policy alone.
        "require-trusted-types-for 'script'",
        "trusted-types default",
    )
)
# The camera reads the code on a device.
PERMISSIONS: Final = "camera=(self), geolocation=(), microphone=(), payment=(), usb=()"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
# Vite names a file by its content, so it never changes under its name.
_FOREVER = re.compile(r"assets/.+-[\w-]{8}\.\w+")


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """One file of the app, as it is sent."""

    content_type: str
    body: bytes


@cache
def built_files(folder: Path) -> dict[str, BuiltFile]:
    """What may be asked for, by its path. Nothing else of the disk can be reached by a request."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in TYPES and path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = BuiltFile(TYPES[path.suffix], path.read_bytes())
    return found


@pages.get("/app/")
@pages.get("/app/<path:file>")
def show_app(file: str = INDEX) -> Response:
    """A file of the app, or its page for a place within the app: a path without a dot at its end.

    Queries are the app's own and not looked at. So these routes are no part of the API's document.
    """
    is_place = "." not in file.rpartition("/")[2]
    return _sent(INDEX if is_place else file)


@pages.get("/s")
def open_share() -> Response:
    """The page of a share's link. The token is in the fragment, which a browser takes along."""
    return Response(status=302, headers={"Location": "/app/s"})


def _sent(name: str) -> Response:
    app_files = built_files(current_app.config.get("APP_FOLDER", BUILT))
    if not app_files:
        raise NotFound("The app was not built here. `make app` builds it.")
    file = app_files.get(name)
    if file is None:
        raise NotFound("The app has no such file.")
    response = Response(file.body, content_type=file.content_type)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["Permissions-Policy"] = PERMISSIONS
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response = set_etag(response, file.body)
    if _FOREVER.fullmatch(name):
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
