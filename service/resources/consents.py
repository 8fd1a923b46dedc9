"""What the person agreed to, in which words, and how they take it back."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import consent
from cymba.accounts.consent import PURPOSES
from cymba.accounts.tables import Consent
from cymba.insights import findings
from service.http.answers import answer, nothing, tagged
from service.http.auditing import note
from service.http.bearer import current_account
from service.http.fields import Schema, Whole
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("consents", "What the person agreed to")

CONSENT_EXAMPLE = {
    "purpose": "insights",
    "text_version": 1,
    "text_sha256": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "given_at": "2026-03-01T09:31:00Z",
    "withdrawn_at": None,
}
PURPOSE_EXAMPLE = {
    "name": "insights",
    "title": "Looking for links between sessions and symptoms",
    "text_version": 1,
    "text": "Cymba compares your sessions with your diary …",
    "text_sha256": CONSENT_EXAMPLE["text_sha256"],
    "given": CONSENT_EXAMPLE,
}


class ConsentSchema(Schema):
    purpose = ma.fields.String(required=True)
    text_version = ma.fields.Integer(required=True)
    text_sha256 = ma.fields.String(required=True)
    given_at = ma.fields.DateTime(required=True)
    withdrawn_at = ma.fields.DateTime(required=True, allow_none=True)


class PurposeSchema(Schema):
    name = ma.fields.String(required=True)
    title = ma.fields.String(required=True)
    text_version = ma.fields.Integer(required=True)
    text = ma.fields.String(required=True)
    text_sha256 = ma.fields.String(required=True, metadata={"description": "Of the text, in UTF-8"})
    given = ma.fields.Nested(
        ConsentSchema,
        required=True,
        allow_none=True,
        metadata={"description": "The consent in force; of an older version it must be renewed"},
    )


class ConsentsSchema(Schema):
    purposes = ma.fields.List(ma.fields.Nested(PurposeSchema), required=True)
    history = ma.fields.List(ma.fields.Nested(ConsentSchema), required=True)


class GivenSchema(Schema):
    text_version = Whole(
        required=True,
        validate=ma.validate.Range(min=1),
        metadata={"description": "Of the text that the person has read"},
    )


@blp.get("/v1/consents")
@blp.answers(200, ConsentsSchema, example={"purposes": [PURPOSE_EXAMPLE], "history": []})
@blp.etag
def list_consents() -> Response:
    """Read what can be agreed to, what is, and what was"""
    with transaction() as session:
        account = current_account(session)
        standing = consent.standing(session, account.id)
        body = {
            "purposes": [
                {
                    "name": purpose.name,
                    "title": purpose.title,
                    "text_version": purpose.version,
                    "text": purpose.text,
                    "text_sha256": purpose.sha256,
                    "given": _shown(standing[name]) if name in standing else None,
                }
                for name, purpose in PURPOSES.items()
            ],
            "history": [_shown(one) for one in consent.history(session, account.id)],
        }
    return tagged(body)


@blp.post("/v1/consents/<string(maxlength=32):purpose>")
@blp.body(GivenSchema, example={"text_version": 1})
@blp.answers(200, ConsentSchema, example=CONSENT_EXAMPLE)
@blp.problems("not-found", "stale")
def give_consent(given: dict[str, Any], purpose: str) -> Response:
    """Agree to a purpose, in the version that was read"""
    now, version = services().now(), given["text_version"]
    with transaction() as session:
        account = current_account(session)
        standing = consent.give(session, account.id, purpose, version=version, now=now)
        note(session, account.id, "consent.given", purpose=purpose, version=version)
        body = _shown(standing)
    return answer(body)


@blp.delete("/v1/consents/<string(maxlength=32):purpose>")
@blp.answers(204, description="Withdrawn, now or before")
@blp.problems("not-found")
def withdraw_consent(purpose: str) -> Response:
    """Take a consent back

    Without `insights` the findings are removed. To take `storage` back means to erase the account:
    `DELETE /v1/account`.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        consent.withdraw(session, account.id, purpose, now=now)
        note(session, account.id, "consent.withdrawn", purpose=purpose)
        if purpose == "insights":
            findings.forget(session, account.id)
    return nothing()


def _shown(given: Consent) -> dict[str, Any]:
    return {
        "purpose": given.purpose,
        "text_version": given.text_version,
        "text_sha256": given.text_sha256,
        "given_at": given.given_at,
        "withdrawn_at": given.withdrawn_at,
    }
