"""What the person answers to an app of others' that wants to be let in.

The app's request came to `/oauth/authorize`, which sent the person to the companion with it. From
there it comes here as it was, and is looked at anew. What the person let in is among their shares.
"""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import app_grants
from cymba.errors import Rejected
from service.http import out
from service.http.answers import answer
from service.http.bearer import current_account
from service.http.examples import described
from service.http.fields import Instant, Schema, Text
from service.http.openapi import Resource
from service.http.proof import proven
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.authorization import AppRequest, AppRequestRefused, Authorization, authorization

blp = Resource("apps", "Apps of others that want to be let in")

_QUERY = (
    "response_type=code&client_id=0d9c1d1e-4f3b-4a5c-9d0e-7f6a5b4c3d2e&redirect_uri=https%3A%2F%2F"
    "app.example.org%2Fback&scope=launch%2Fpatient%20patient%2FObservation.rs&state=8Xq0&aud="
    "https%3A%2F%2Fcymba.example%2Ffhir%2FR4&code_challenge_method=S256&code_challenge="
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)
_BACK = "https://app.example.org/back?code=Jx3kQ2m8&state=8Xq0&iss=https%3A%2F%2Fcymba.example"
# What fits into an address. JSON may write each character with six.
MOST_CHARACTERS = 16_000
MAX_BYTES = 8 * MOST_CHARACTERS


class AppRequestSchema(Schema):
    query = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=MOST_CHARACTERS),
        about="Of the app's request, as it came to `/oauth/authorize`",
        example=_QUERY,
    )


class AppAllowanceSchema(AppRequestSchema):
    scopes = ma.fields.List(
        Text(validate=ma.validate.Length(max=64)),
        required=True,
        validate=ma.validate.Length(min=1, max=200),
        metadata=described(
            "What the person lets it read, of what it asks for",
            ["launch/patient", "patient/Observation.rs"],
        ),
    )
    expires_at = Instant(
        load_default=None,
        allow_none=True,
        about="At most a year from now; only for an app that asks for `offline_access`, since any "
        "other reads for an hour",
        example="2026-04-01T00:00:00.000000Z",
    )


class AskingAppSchema(Schema):
    """What an app asks for."""

    name = out.text("Heart Diary", "What the operator of this server calls the app")
    redirect_uri = out.text("https://app.example.org/back", "Where the person goes from here")
    scopes = out.many(
        out.text("patient/Observation.rs"),
        "Those of the scopes it asks for that there are, each for one type of FHIR's resources. "
        "With `offline_access` it reads until an end that the person sets, else for an hour.",
        example=["launch/patient", "patient/Observation.rs"],
    )


class AppAnsweredSchema(Schema):
    redirect_to = out.text(_BACK, "Where the browser goes now: back to the app")


_asked_shown = writer(AskingAppSchema)
_answered_shown = writer(AppAnsweredSchema)


@blp.post("/v1/apps/requests")
@blp.body(AppRequestSchema, max_bytes=MAX_BYTES)
@blp.answers(200, AskingAppSchema)
@blp.problems("app-refused")
def read_app_request(given: dict[str, Any]) -> Response:
    """Read what an app asks for"""
    with transaction() as session:
        current_account(session)
        asked = _asked(authorization(session), given["query"])
    return answer(_asked_shown(asked))


@blp.post("/v1/apps/allowances")
@blp.body(AppAllowanceSchema, max_bytes=MAX_BYTES)
@blp.answers(201, AppAnsweredSchema)
@blp.problems("app-refused", "reauthentication-required", "not-found")
def allow_app(given: dict[str, Any]) -> Response:
    """Let an app in

    It reads what `scopes` name through `/fhir/R4`, and nothing else. It is listed with the shares,
    where it ends at once. Each look is in the audit log.
    """
    with transaction() as session, proven(session) as account:
        server = authorization(session)
        asked = _asked(server, given["query"])
        code = app_grants.allow(
            session,
            account.id,
            asked.client,
            scopes=given["scopes"],
            asked=asked.scopes,
            redirect_uri=asked.redirect_uri,
            code_challenge=asked.code_challenge,
            until=given["expires_at"],
            now=services().now(),
        )
        shown = _answered_shown({"redirect_to": server.allowed(asked, code)})
    return answer(shown, status=201)


@blp.post("/v1/apps/refusals")
@blp.body(AppRequestSchema, max_bytes=MAX_BYTES)
@blp.answers(200, AppAnsweredSchema)
@blp.problems("app-refused")
def refuse_app(given: dict[str, Any]) -> Response:
    """Do not let an app in; the app learns only that"""
    with transaction() as session:
        current_account(session)
        server = authorization(session)
        shown = _answered_shown({"redirect_to": server.denied(_asked(server, given["query"]))})
    return answer(shown)


def _asked(server: Authorization, query: str) -> AppRequest:
    try:
        return server.asked(query)
    except AppRequestRefused:
        raise Rejected(
            "The app's request is not good (any more). Begin anew in the app.", code="app-refused"
        ) from None
