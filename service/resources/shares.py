"""Read-only shares for a clinician or a caregiver."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response

from cymba.accounts import sharing
from cymba.accounts.sharing import SCOPES
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account
from service.http.examples import described
from service.http.fields import Email, Instant, Schema, Text
from service.http.openapi import Resource
from service.http.proof import proven_account
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

blp = Resource("shares", "Read-only shares")


class ShareRequestSchema(Schema):
    label = Text(required=True, validate=ma.validate.Length(min=1, max=100), example="Dr. Weber")
    scopes = ma.fields.List(
        Text(validate=ma.validate.OneOf(SCOPES)),
        required=True,
        validate=ma.validate.Length(min=1, max=len(SCOPES)),
        metadata=described("", ["diary", "sessions"]),
    )
    expires_at = Instant(
        required=True, about="At most a year from now", example="2026-04-01T00:00:00.000000Z"
    )
    clinician_email = Email(
        load_default=None, allow_none=True, about="Then only this clinician, signed in, can use it"
    )


class ShareSchema(Schema):
    id = out.uuid("4c3b2a19-0817-4655-b4a3-c2d1e0f90817")
    label = out.text("Dr. Weber")
    scopes = out.many(out.text("diary"), example=["diary", "sessions"])
    clinician_email = out.text(None, null=True)
    created_at = out.instant("2026-03-01T10:00:00.000000Z")
    expires_at = out.instant("2026-04-01T00:00:00.000000Z")
    revoked_at = out.instant(None, null=True)


class NewShareSchema(ShareSchema):
    token = out.text("share_Jx3…", "Shown this once: bearer token of the share", source=out.GIVEN)


class SharesSchema(Schema):
    items = out.many(ShareSchema)


_share_shown = writer(ShareSchema)
_new_share_shown = writer(NewShareSchema)


@blp.post("/v1/shares")
@blp.repeatable
@blp.body(ShareRequestSchema)
@blp.answers(201, NewShareSchema)
@blp.problems("reauthentication-required")
def create_share(given: dict[str, Any]) -> Response:
    """Share a read-only view

    Whoever holds the token reads what its scopes cover, with `Authorization: Bearer share_…`. A
    share for a clinician is used with their own sign-in, and the token in `Cymba-Share`. Each look
    is in the audit log.
    """
    with transaction() as session:
        account = proven_account(session)
        share, token = sharing.create(session, account.id, **given, now=services().now())
        session.refresh(share)
        body = _new_share_shown(share, token=token)
    return answer(body, status=201)


@blp.get("/v1/shares")
@blp.answers(200, SharesSchema)
@blp.etag
def list_shares() -> Response:
    """List the shares, the latest first"""
    with transaction() as session:
        account = current_account(session)
        items = [_share_shown(share) for share in sharing.mine(session, account.id)]
    return tagged({"items": items})


@blp.delete("/v1/shares/<uuid:share_id>")
@blp.answers(204, description="Revoked, now or before")
@blp.problems("not-found")
def revoke_share(share_id: UUID) -> Response:
    """End a share, at once"""
    with transaction() as session:
        account = current_account(session)
        sharing.revoke(session, account.id, share_id, now=services().now())
    return nothing()
