"""Pages of other origins that may ask the API (the Fetch standard, "CORS protocol").

Who asks is known by a bearer token, which a browser adds to no request by itself. So no answer says
`Access-Control-Allow-Credentials`, and a page of an origin that is not set can do nothing that its
server could not do as well. What apps of others ask (`ANY_ORIGIN`) is open to every page: SMART on
FHIR has apps that are a page alone. The API's own nginx answers some refusals itself; those carry
no such header, and a page sees of them only that it was refused.
"""

from typing import Final

from flask import Flask, Response, request

from service.http.services import services

METHODS: Final = "GET, POST, PUT, PATCH, DELETE"
# Those that a browser does not allow by itself. A test holds that all of the document are here.
ASKED: Final = (
    "Accept-Language, Authorization, Content-Type, Cymba-Share, Idempotency-Key, If-Match, "
    "If-None-Match, Last-Event-ID, Prefer, X-Request-Id"
)
SHOWN: Final = (
    "Content-Disposition, Deprecation, ETag, Link, Location, RateLimit, RateLimit-Policy, "
    "Retry-After, Sunset, WWW-Authenticate, X-Request-Id"
)
ANY_ORIGIN: Final = ("/fhir/", "/oauth/token", "/oauth/revoke", "/.well-known/oauth-")
KEPT_S: Final = 7200  # browsers keep no preflight for longer


def register(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer what a browser asks before the request itself. To a page of any other origin an
    OPTIONS says what it says to everybody."""
    is_preflight = (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    )
    if not is_preflight or not _is_allowed():
        return None
    response = Response(status=204)
    del response.headers["Content-Type"]
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = ASKED
    response.headers["Access-Control-Max-Age"] = str(KEPT_S)
    return response


def _allow(response: Response) -> Response:
    if request.path.startswith(ANY_ORIGIN):
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = SHOWN
        return response
    if not services().settings.cors_origins:
        return response
    response.vary.add("Origin")
    if _is_allowed():
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = SHOWN
    return response


def _is_allowed() -> bool:
    return (
        request.path.startswith(ANY_ORIGIN)
        or request.headers.get("Origin") in services().settings.cors_origins.split()
    )
