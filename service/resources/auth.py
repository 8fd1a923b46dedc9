"""Signing in: access tokens for 15 minutes, and refresh tokens good for one use each."""

from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from cymba.accounts import addresses, profile, throttle, tokens
from cymba.accounts.addresses import MAX_CHARACTERS as MAX_EMAIL_CHARACTERS
from cymba.accounts.audit import note_own
from cymba.accounts.passwords import renewed, verify_password
from cymba.accounts.profile import find_by_email
from cymba.accounts.sign_in import sign_in_by_password
from cymba.accounts.tables import Account
from cymba.accounts.tokens import Reused, TokenPair, Unknown, rotate, sign_out
from cymba.errors import TooManyRequests, Unauthenticated
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_access, current_account
from service.http.fields import Password, Schema, Text
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction
from service.http.under_way import hold, hold_hashing
from service.http.writing import writer
from service.shapes.tokens import SCHEME, TokenPairSchema, pair_shown

blp = Resource("auth", "Signing in and out")


class CredentialsSchema(Schema):
    email = Text(
        required=True,
        validate=ma.validate.Length(max=MAX_EMAIL_CHARACTERS),
        example="ada@example.org",
    )
    password = Password(required=True, example="correct horse battery")
    known_device = Text(
        validate=ma.validate.Length(max=200),
        about="From this app's last sign-in to this account, if it has one",
    )


class SignedInSchema(TokenPairSchema):
    known_device = out.text(
        "AGrKc-Tm3QhJx3kQ2m8mK2y0dYpQm1w3xS5tV7uN9aL",
        "Keep it when the person signs out, and send it at the next sign-in: strangers' guesses "
        "then never hold it up. It opens nothing.",
        source=out.GIVEN,
    )


class SignInSchema(Schema):
    """That somebody signed in, and is signed in still."""

    id = out.uuid("7d1f0a52-93a1-4c63-8f0e-5b7d1c2e3f40")
    signed_in_at = out.instant("2026-03-01T09:30:00.000000Z", null=True)
    refreshed_at = out.instant(
        "2026-03-01T18:00:00.000000Z", "When it last got an access token, good for a quarter hour"
    )
    current = out.flag(True, "Whether it is the one that asks", source=out.GIVEN)


class SignInsSchema(Schema):
    items = out.many(SignInSchema)


_shown = writer(SignedInSchema)
_sign_in_shown = writer(SignInSchema)


class TokenRefreshSchema(Schema):
    refresh_token = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=200),
        example="Zq0rB2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
    )


@blp.post("/v1/auth/token")
@blp.public
@blp.body(CredentialsSchema)
@blp.answers(200, SignedInSchema)
@blp.problems("wrong-credentials", "rate")
def create_token(credentials: dict[str, Any]) -> Response:
    """Sign in with e-mail and password

    Wrong guesses are rate-limited by where they come from. Nobody's guesses lock the owner out of
    the places where they sign in, or of an app that sends its `known_device`.
    """
    email, password = credentials["email"], credentials["password"]
    key, now = services().throttle_key, services().now()
    with transaction() as session:
        account = find_by_email(session, email)
    device = throttle.read_known_device(key, account, credentials.get("known_device"), now)
    hold(services().sign_ins, (addresses.key(email), device))
    hold_hashing()
    with transaction() as session:
        attempt = throttle.ask_sign_in(
            session,
            key,
            email=email,
            address=request.remote_addr or "",
            device=device,
            now=now,
        )
    if isinstance(attempt, throttle.Throttled):
        raise TooManyRequests(
            "Too many sign-ins. Wait, then try again.", retry_after_s=attempt.retry_after_s
        )
    # Outside of any transaction: the hash is slow on purpose.
    good = verify_password(account.password_hash if account else None, password)
    if account is None or not good:
        with transaction() as session:
            throttle.count_wrong(session, attempt, now)
        raise _wrong()
    renewed_hash = renewed(account.password_hash, password)
    with transaction() as session:
        pair = sign_in_by_password(
            session,
            services().signer,
            account,
            renewed_hash=renewed_hash,
            attempt=attempt,
            now=now,
        )
        if pair is None:
            raise _wrong()
        signed_in = session.get_one(Account, account.id)  # whose hash may be a renewed one
        known_device = throttle.make_known_device(key, signed_in, now)
    return answer(_shown(pair, token_type=SCHEME, known_device=known_device))


@blp.post("/v1/auth/refresh")
@blp.public
@blp.body(TokenRefreshSchema)
@blp.answers(200, TokenPairSchema)
@blp.problems("refresh-invalid", "refresh-reused")
def refresh_token(given: dict[str, Any]) -> Response:
    """Trade a refresh token for a new pair

    A lost answer does no harm, and neither do several processes of one app that refresh at once:
    the same token, sent again within two minutes (the default), gets the same successor, as long as
    that was not used. Any other reuse of a refresh token may mean theft: its whole sign-in ends,
    access tokens included, and the person signs in again.
    """
    with transaction() as session:
        outcome = rotate(session, services().signer, given["refresh_token"], services().now())
    match outcome:
        case Unknown():
            raise Unauthenticated(
                "The refresh token is unknown, expired or signed out.", code="refresh-invalid"
            )
        case Reused():
            raise Unauthenticated(
                "The refresh token was used before. Everything that came from this sign-in was "
                "signed out.",
                code="refresh-reused",
            )
        case TokenPair():
            return answer(pair_shown(outcome))


@blp.post("/v1/auth/logout")
@blp.public
@blp.body(TokenRefreshSchema)
@blp.answers(204, description="Signed out, or it was already")
def logout(given: dict[str, Any]) -> Response:
    """Sign out: the refresh token and the access tokens of its sign-in end at once"""
    with transaction() as session:
        sign_out(session, given["refresh_token"], services().now())
    return nothing()


@blp.get("/v1/account/sign-ins")
@blp.answers(200, SignInsSchema)
@blp.etag
def list_sign_ins() -> Response:
    """List where the account is signed in, the one used last first"""
    with transaction() as session:
        mine = tokens.sign_ins(session, current_account(session).id, services().now())
        here = current_access().family_id
        items = [_sign_in_shown(one, current=one.id == here) for one in mine]
    return tagged({"items": items})


@blp.delete("/v1/account/sign-ins")
@blp.answers(204, description="Signed out everywhere but here")
def end_other_sign_ins() -> Response:
    """Sign out everywhere else

    This sign-in stays; the access tokens of all others end at once.
    """
    with transaction() as session:
        account = profile.lock(session, current_account(session).id)
        tokens.sign_out_elsewhere(session, account.id, current_access().family_id, services().now())
        note_own(session, account.id, "account.signed_out_elsewhere")
    return nothing()


@blp.delete("/v1/account/sign-ins/<uuid:sign_in_id>")
@blp.answers(204, description="Signed out; its access tokens end too")
def end_sign_in(sign_in_id: UUID) -> Response:
    """Sign out one sign-in: a phone that was lost, for one"""
    with transaction() as session:
        account = profile.lock(session, current_account(session).id)
        tokens.end_sign_in(session, account.id, sign_in_id, services().now())
        note_own(session, account.id, "account.signed_out")
    return nothing()


def _wrong() -> Unauthenticated:
    return Unauthenticated(
        "That e-mail address and password do not go together.", code="wrong-credentials"
    )
