"""Read-only shares for a clinician or a caregiver."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from cymba.accounts import sharing
from cymba.accounts.profile import EMAIL_PATTERN, MAX_EMAIL_CHARACTERS
from cymba.accounts.sharing import SCOPES
from cymba.accounts.tables import Share
from service.http.answers import answer, nothing, tagged
from service.http.auditing import note
from service.http.bearer import current_account
from service.http.fields import Instant, Pattern, Schema, Text
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("shares", "Read-only shares")

SHARE_EXAMPLE: dict[str, Any] = {
    "id": "4c3b2a19-0817-4655-b4a3-c2d1e0f90817",
    "label": "Dr. Weber",
    "scopes": ["diary", "sessions"],
    "clinician_email": None,
    "created_at": "2026-03-01T10:00:00Z",
    "expires_at": "2026-04-01T00:00:00Z",
    "revoked_at": None,
}


class WantedShareSchema(Schema):
    label = Text(required=True, validate=ma.validate.Length(min=1, max=100))
    scopes = ma.fields.List(
        Text(validate=ma.validate.OneOf(SCOPES)),
        required=True,
        validate=ma.validate.Length(min=1, max=len(SCOPES)),
    )
    expires_at = Instant(required=True, metadata={"description": "At most a year from now"})
    clinician_email = Text(
        load_default=None,
        allow_none=True,
        validate=[ma.validate.Length(max=MAX_EMAIL_CHARACTERS), Pattern(EMAIL_PATTERN)],
        metadata={"description": "Then only this clinician, signed in, can use it"},
    )


class ShareSchema(Schema):
    id = ma.fields.UUID(required=True)
    label = ma.fields.String(required=True)
    scopes = ma.fields.List(ma.fields.String(), required=True)
    clinician_email = ma.fields.String(required=True, allow_none=True)
    created_at = ma.fields.DateTime(required=True)
    expires_at = ma.fields.DateTime(required=True)
    revoked_at = ma.fields.DateTime(required=True, allow_none=True)


class NewShareSchema(ShareSchema):
    token = ma.fields.String(
        required=True, metadata={"description": "Shown this once: bearer token of the share"}
    )


class SharesSchema(Schema):
    items = ma.fields.List(ma.fields.Nested(ShareSchema), required=True)


@blp.post("/v1/shares")
@blp.body(
    WantedShareSchema,
    example={
        "label": "Dr. Weber",
        "scopes": ["diary", "sessions"],
        "expires_at": "2026-04-01T00:00:00Z",
    },
)
@blp.answers(201, NewShareSchema, example=SHARE_EXAMPLE | {"token": "share_Jx3…"})
def create_share(given: dict[str, Any]) -> Response:
    """Share a read-only view

    Whoever holds the token reads what its scopes cover, with `Authorization: Bearer share_…`. A
    share for a clinician is used with their own sign-in, and the token in `Cymba-Share`. Each look
    is in the audit log.
    """
    with transaction() as session:
        account = current_account(session)
        share, token = sharing.create(session, account.id, **given, now=services().now())
        session.refresh(share)
        note(session, account.id, "share.created", share=str(share.id), scopes=share.scopes)
        body = share_shown(share) | {"token": token}
    return answer(body, status=201)


@blp.get("/v1/shares")
@blp.answers(200, SharesSchema, example={"items": [SHARE_EXAMPLE]})
@blp.etag
def list_shares() -> Response:
    """List the shares, the latest first"""
    with transaction() as session:
        account = current_account(session)
        items = [share_shown(share) for share in sharing.mine(session, account.id)]
    return tagged({"items": items})


@blp.delete("/v1/shares/<uuid:share_id>")
@blp.answers(204, description="Revoked, now or before")
@blp.problems("not-found")
def revoke_share(share_id: UUID) -> Response:
    """End a share, at once"""
    with transaction() as session:
        account = current_account(session)
        share = sharing.revoke(session, account.id, share_id, now=services().now())
        note(session, account.id, "share.revoked", share=str(share.id))
    return nothing()


def share_shown(share: Share) -> dict[str, Any]:
    """A share as the API shows it (`ShareSchema`)."""
    return {
        "id": share.id,
        "label": share.label,
        "scopes": share.scopes,
        "clinician_email": share.clinician_email,
        "created_at": share.created_at,
        "expires_at": share.expires_at,
        "revoked_at": share.revoked_at,
    }
