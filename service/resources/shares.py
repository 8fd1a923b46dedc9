"""Read-only shares for a clinician or a caregiver."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from cymba.accounts import app_grants, sharing
from cymba.accounts.sharing import SCOPES
from cymba.accounts.tables import Account
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_account, current_share, require_share
from service.http.examples import described
from service.http.fields import Email, Instant, Schema, Text
from service.http.openapi import Resource
from service.http.proof import proven
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


class ShareHolderSchema(Schema):
    """Somebody who keeps the share with their account."""

    name = out.text("Dr. Weber")
    email = out.text("weber@example.org")
    attached_at = out.instant("2026-03-01T11:00:00.000000Z")


class AppHolderSchema(Schema):
    """An app of others that the person let in."""

    client_id = out.uuid("0d9c1d1e-4f3b-4a5c-9d0e-7f6a5b4c3d2e")
    name = out.text("Heart Diary")
    scopes = out.many(
        out.text("patient/Observation.rs"),
        "What it reads through FHIR",
        example=["launch/patient", "patient/Observation.rs"],
    )


class ShareSchema(Schema):
    id = out.uuid("4c3b2a19-0817-4655-b4a3-c2d1e0f90817")
    label = out.text("Dr. Weber")
    scopes = out.many(out.text("diary"), example=["diary", "sessions"])
    clinician_email = out.text(None, null=True)
    created_at = out.instant("2026-03-01T10:00:00.000000Z")
    expires_at = out.instant("2026-04-01T00:00:00.000000Z")
    revoked_at = out.instant(None, null=True)
    holders = out.many(
        ShareHolderSchema,
        "Who keeps it with their account; others may hold its token",
        source=out.GIVEN,
    )
    app = ma.fields.Nested(
        AppHolderSchema,
        required=True,
        allow_none=True,
        metadata=described("The app that holds it; its `scopes` are `app`. null: no app does.")
        | {out.GIVEN: True},
    )


class NewShareSchema(ShareSchema):
    token = out.text("share_Jx3…", "Shown this once: bearer token of the share", source=out.GIVEN)


class SharesSchema(Schema):
    items = out.many(ShareSchema)


class ReceivedShareSchema(Schema):
    """A share as who holds it sees it."""

    id = out.uuid("4c3b2a19-0817-4655-b4a3-c2d1e0f90817", source="share.id")
    from_name = out.text("Ada", "The name that the person gave their account; may be empty")
    scopes = out.many(out.text("diary"), example=["diary", "sessions"], source="share.scopes")
    expires_at = out.instant("2026-04-01T00:00:00.000000Z", source="share.expires_at")
    attached_at = out.instant(
        "2026-03-01T11:00:00.000000Z",
        "When the viewer attached it to their account; null: they hold its token alone",
        null=True,
    )


class ReceivedSharesSchema(Schema):
    items = out.many(ReceivedShareSchema)


class ShareTokenSchema(Schema):
    token = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=100),
        example="share_Jx3kQ2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
    )


_share_shown = writer(ShareSchema)
_new_share_shown = writer(NewShareSchema)
_holder_shown = writer(ShareHolderSchema)
_app_shown = writer(AppHolderSchema)
_received_shown = writer(ReceivedShareSchema)


@blp.post("/v1/shares")
@blp.repeatable
@blp.body(ShareRequestSchema)
@blp.answers(201, NewShareSchema)
@blp.problems("reauthentication-required")
def create_share(given: dict[str, Any]) -> Response:
    """Share a read-only view

    Whoever holds the token reads what its scopes cover and sees the account's name, with
    `Authorization: Bearer share_…`. A share for a clinician is used with their own sign-in, and the
    token in `Cymba-Share`. Each look is in the audit log.
    """
    with transaction() as session, proven(session) as account:
        share, token = sharing.create(session, account.id, **given, now=services().now())
        session.refresh(share)
        body = _new_share_shown(share, token=token, holders=[], app=None)
    return answer(body, status=201)


@blp.get("/v1/shares")
@blp.answers(200, SharesSchema)
@blp.etag
def list_shares() -> Response:
    """List the shares, the latest first"""
    with transaction() as session:
        account = current_account(session)
        holders = sharing.holders(session, account.id)
        apps = app_grants.holders(session, account.id)
        items = [
            _share_shown(
                share,
                holders=[_holder_shown(one) for one in holders.get(share.id, ())],
                app=_app_shown(apps[share.id]) if share.id in apps else None,
            )
            for share in sharing.mine(session, account.id)
        ]
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


@blp.get("/v1/shares/current")
@blp.guard(require_share, "share")
@blp.answers(200, ReceivedShareSchema)
@blp.etag
@blp.problems("unauthenticated")
def get_current_share() -> Response:
    """Learn what the share opens that the request comes with"""
    with transaction() as session:
        shown = _received_shown(sharing.as_received(session, *current_share(session)))
    return tagged(shown)


@blp.get("/v1/shares/received")
@blp.answers(200, ReceivedSharesSchema)
@blp.etag
def list_received_shares() -> Response:
    """List the shares of others that this account keeps and that are good

    Each is read with the own access token and the share's `id` in `Cymba-Share`.
    """
    with transaction() as session:
        found = sharing.received(session, _viewer(session), now=services().now())
        items = [_received_shown(one) for one in found]
    return tagged({"items": items})


@blp.post("/v1/shares/received")
@blp.repeatable
@blp.body(ShareTokenSchema)
@blp.answers(201, ReceivedShareSchema)
@blp.answers(200, ReceivedShareSchema, description="Kept already")
@blp.problems("not-found", "rejected", "conflict")
def attach_share(given: dict[str, Any]) -> Response:
    """Attach a share that one was given to the own account

    From then on its id in `Cymba-Share` opens it too, wherever the account is signed in. The person
    who shares sees the name and the address of who keeps it, and ends it as before.
    """
    with transaction() as session:
        viewer = _viewer(session)
        share, is_new = sharing.attach(session, viewer, given["token"], now=services().now())
        shown = _received_shown(sharing.as_received(session, share, viewer))
    return answer(shown, status=201 if is_new else 200)


@blp.delete("/v1/shares/received/<uuid:share_id>")
@blp.answers(204, description="Kept no longer")
def detach_share(share_id: UUID) -> Response:
    """Keep a share of another's no longer"""
    with transaction() as session:
        sharing.detach(session, _viewer(session), share_id)
    return nothing()


def _viewer(session: Session) -> Account:
    return session.get_one(Account, current_account(session).id)
