"""Where apps of others ask to be let in: OAuth 2 and SMART App Launch 2 (`docs/smart.md`).

These routes speak OAuth's own form, not this API's: they are described by the two documents that
they serve, and are no part of the OpenAPI document. A page of any origin may ask those that a
browser's script calls (`cors`).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

import orjson
from flask import Blueprint, Response, request

from cymba.accounts import app_scopes
from service.http.own_address import FHIR, own_address
from service.http.transaction import transaction
from service.http.under_way import under_way
from service.shapes.authorization import (
    AUTH_METHODS,
    AUTHORIZE,
    REVOKE,
    TOKEN,
    AppRequestRefused,
    Authorization,
    OAuthAnswer,
    authorization,
)

pages = Blueprint("oauth", __name__)

# Of SMART App Launch 2.2: what this server can do.
CAPABILITIES: Final = (
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "permission-v1",
    "permission-v2",
)
_OF_QUERIES: Final = "%&=+/:?@!$'()*,;[]"  # what stays as it came, besides letters
_DESCRIBED_FOR_S: Final = 3600


@pages.get(f"{FHIR}/.well-known/smart-configuration")
def describe_smart() -> Response:
    """Without an `issuer`, which goes with OpenID Connect."""
    described = _metadata() | {"capabilities": CAPABILITIES}
    del described["issuer"]
    return _described(described)


@pages.get("/.well-known/oauth-authorization-server")
def describe_server() -> Response:
    """RFC 8414."""
    return _described(_metadata())


@pages.get(AUTHORIZE)
def authorize() -> Response:
    """Send the person to where they sign in and say yes or no; the app's request goes along in the
    fragment, which no log keeps."""
    query = quote(request.query_string, safe=_OF_QUERIES)
    with under_way(), transaction() as session:
        try:
            authorization(session).asked(query)
        except AppRequestRefused as refused:
            return _sent_back(refused)
    return _redirect(f"/app/allow#{query}")


def _answering(view: Callable[[Authorization], OAuthAnswer]) -> Callable[[], Response]:
    """A route that answers an app, from one transaction that is kept whatever the answer is."""

    @wraps(view)
    def answered() -> Response:
        with under_way(), transaction() as session:
            answer = view(authorization(session))
        response = Response(orjson.dumps(answer.body), status=answer.status)
        response.headers.update(answer.headers)
        return response

    return answered


@pages.post(TOKEN)
@_answering
def trade(server: Authorization) -> OAuthAnswer:
    return server.tokens(request.form, request.headers)


@pages.post(REVOKE)
@_answering
def revoke(server: Authorization) -> OAuthAnswer:
    return server.revocation(request.form, request.headers)


def _metadata() -> dict[str, Any]:
    here = own_address()
    data = [f"patient/{one}.rs" for one in app_scopes.RESOURCE_TYPES]
    return {
        "issuer": here,
        "authorization_endpoint": here + AUTHORIZE,
        "token_endpoint": here + TOKEN,
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint": here + REVOKE,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "grant_types_supported": ("authorization_code", "refresh_token"),
        "response_types_supported": ("code",),
        "code_challenge_methods_supported": ("S256",),
        "scopes_supported": (app_scopes.PATIENT, app_scopes.OFFLINE, "patient/*.rs", *data),
        "authorization_response_iss_parameter_supported": True,
    }


def _described(document: dict[str, Any]) -> Response:
    response = Response(orjson.dumps(document), content_type="application/json")
    response.headers["Cache-Control"] = f"max-age={_DESCRIBED_FOR_S}"
    return response


def _sent_back(refused: AppRequestRefused) -> Response:
    """To the app if it is known, with what is wrong; else the person is told, as plain text."""
    if refused.location is not None:
        return _redirect(refused.location)
    told = f"The app that sent you here has made a mistake. Nothing was shared.\n\n{refused.why}\n"
    response = Response(told, status=400, content_type="text/plain; charset=utf-8")
    response.headers["Cache-Control"] = "no-store"
    return response


def _redirect(location: str) -> Response:
    response = Response(status=302, headers={"Location": location})
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
