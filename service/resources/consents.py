"""What the person agreed to, in which words, and how they take it back."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import consent
from cymba.accounts.consent import PURPOSES, Purpose, StandingConsent
from cymba.accounts.tables import Consent
from cymba.database import line_of
from cymba.rights import consents
from cymba.text_version import TextVersion
from cymba.voice import Voice
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account
from service.http.fields import Schema, Text
from service.http.language import spoken
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

blp = Resource("consents", "What the person agreed to")

_SHA256 = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0"


class ConsentSchema(Schema):
    purpose = out.text("insights")
    text_version = out.text("1/en", "With the language it was read in", source=out.GIVEN)
    text_sha256 = out.text(_SHA256)
    given_at = out.instant("2026-03-01T09:31:00.000000Z")
    withdrawn_at = out.instant(None, null=True)


class ConsentPurposeSchema(Schema):
    name = out.text("insights")
    title = out.text("Looking for links between sessions and symptoms", source=out.GIVEN)
    text_version = out.text(
        "1/en", "With the language that the text is in; a consent names it", source=out.GIVEN
    )
    text = out.text("Cymba compares your sessions with your diary …", source=out.GIVEN)
    text_sha256 = out.text(_SHA256, "Of the text, in UTF-8", source=out.GIVEN)
    is_given = out.flag(
        False,
        "A consent to this text is in force, in whichever language it was read",
        source=out.GIVEN,
    )
    given = out.nested(
        ConsentSchema,
        "The consent in force; without `is_given` it is to an older text, and must be renewed",
        null=True,
        source=out.GIVEN,
    )


class ConsentsSchema(Schema):
    purposes = out.many(ConsentPurposeSchema)
    history = out.many(ConsentSchema, example=[])


_consent_shown = writer(ConsentSchema)
_purpose_shown = writer(ConsentPurposeSchema)


class ConsentGivenSchema(Schema):
    text_version = Text(
        required=True,
        validate=ma.validate.Length(max=16),
        about="Of the text that the person has read",
        example="1/en",
    )


@blp.get("/v1/consents")
@blp.answers(200, ConsentsSchema)
@blp.etag
def list_consents() -> Response:
    """Read what can be agreed to, what is, and what was"""
    with transaction() as session:
        account = current_account(session)
        standing, voice = consent.standing(line_of(session), account.id), spoken()
        body = {
            "purposes": [
                _in_words(purpose, standing.get(name), voice) for name, purpose in PURPOSES.items()
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


def _shown(given: Consent | StandingConsent) -> dict[str, Any]:
    read = TextVersion(given.text_version, given.text_language)
    return _consent_shown(given, text_version=str(read))


def _in_words(purpose: Purpose, given: StandingConsent | None, voice: Voice) -> dict[str, Any]:
    return _purpose_shown(
        purpose,
        title=voice.translate(purpose.title),
        text_version=str(purpose.version_in(voice.language)),
        text=voice.translate(purpose.text),
        text_sha256=purpose.sha256_in(voice.language),
        is_given=given is not None and given.text_version == purpose.edition,
        given=given and _shown(given),
    )
