"""What the person agreed to, in which words, and how they take it back."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import consent
from cymba.accounts.consent import PURPOSES
from cymba.rights import consents
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account
from service.http.fields import Schema, Whole
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

blp = Resource("consents", "What the person agreed to")

_SHA256 = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"


class ConsentSchema(Schema):
    purpose = out.text("insights")
    text_version = out.whole(1)
    text_sha256 = out.text(_SHA256)
    given_at = out.instant("2026-03-01T09:31:00.000000Z")
    withdrawn_at = out.instant(None, null=True)


class ConsentPurposeSchema(Schema):
    name = out.text("insights")
    title = out.text("Looking for links between sessions and symptoms")
    text_version = out.whole(1, source="version")
    text = out.text("Cymba compares your sessions with your diary …")
    text_sha256 = out.text(_SHA256, "Of the text, in UTF-8", source="sha256")
    given = out.nested(
        ConsentSchema,
        "The consent in force; of an older version it must be renewed",
        null=True,
        source=out.GIVEN,
    )


class ConsentsSchema(Schema):
    purposes = out.many(ConsentPurposeSchema)
    history = out.many(ConsentSchema, example=[])


_shown = writer(ConsentSchema)
_purpose_shown = writer(ConsentPurposeSchema)


class ConsentGivenSchema(Schema):
    text_version = Whole(
        required=True,
        validate=ma.validate.Range(min=1),
        about="Of the text that the person has read",
        example=1,
    )


@blp.get("/v1/consents")
@blp.answers(200, ConsentsSchema)
@blp.etag
def list_consents() -> Response:
    """Read what can be agreed to, what is, and what was"""
    with transaction() as session:
        account = current_account(session)
        standing = consent.standing(session, account.id)
        body = {
            "purposes": [
                _purpose_shown(purpose, given=_shown(standing[name]) if name in standing else None)
                for name, purpose in PURPOSES.items()
            ],
            "history": [_shown(one) for one in consent.history(session, account.id)],
        }
    return tagged(body)


@blp.post("/v1/consents/<string(maxlength=32):purpose>")
@blp.repeatable
@blp.body(ConsentGivenSchema)
@blp.answers(200, ConsentSchema)
@blp.problems("not-found", "stale")
def give_consent(given: dict[str, Any], purpose: str) -> Response:
    """Agree to a purpose, in the version that was read"""
    now, version = services().now(), given["text_version"]
    with transaction() as session:
        account = current_account(session)
        standing = consent.give(session, account.id, purpose, version=version, now=now)
        body = _shown(standing)
    return answer(body)


@blp.delete("/v1/consents/<string(maxlength=32):purpose>")
@blp.answers(204, description="Withdrawn, now or before")
@blp.problems("not-found")
def withdraw_consent(purpose: str) -> Response:
    """Take a consent back

    Without `insights` the findings are removed. Sessions and the diary rest on no consent: they are
    kept until they are deleted, or the account is erased with `DELETE /v1/account`.
    """
    now = services().now()
    with transaction() as session:
        account = current_account(session)
        consents.withdraw(session, account.id, purpose, now=now)
    return nothing()
