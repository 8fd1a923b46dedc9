"""Signing in with OpenID Connect providers, and the sign-ins there that open an account."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import marshmallow as ma
from flask import Response, request

from cymba.accounts import identities, oidc, throttle
from cymba.accounts.oidc import Begun
from cymba.accounts.providers import Provider, ProviderUnavailable
from cymba.accounts.sign_in import sign_in_by_provider
from cymba.accounts.tables import OidcFlow
from cymba.errors import NotFound, TooManyRequests
from service.http import out
from service.http.answers import answer, nothing, tagged
from service.http.bearer import current_access, current_account
from service.http.fields import Schema, Text
from service.http.language import wanted_locale
from service.http.openapi import Resource
from service.http.problems import Unavailable
from service.http.proof import proven
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer
from service.shapes.tokens import TokenPairSchema, pair_shown

blp = Resource("oidc", "Signing in with another provider")

_STATE = "v3Xq0B2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0"


class OidcProviderSchema(Schema):
    name = out.text("google", "What the routes call it")
    issuer = out.text("https://accounts.google.com")
    by_browser = out.flag(True, "Whether people sign in there in a browser; else on their phone")


class OidcProvidersSchema(Schema):
    items = out.many(OidcProviderSchema)


class OidcStartSchema(Schema):
    authorization_url = out.text(
        "https://id.example.org/authorize?response_type=code&client_id=cymba",
        "Where the person signs in, in a browser; null: on their phone alone",
        null=True,
    )
    state = out.text(_STATE, "The app must see the same come back, or drop what came")
    nonce = out.text(
        "n7Qk2m8mK2y0dYpQm1w3xS5tV7uN9aL4", "For the phone's own sign-in: the ID token must hold it"
    )


def _state() -> Text:
    return Text(required=True, validate=ma.validate.Length(min=1, max=200), example=_STATE)


class OidcFinishSchema(Schema):
    state = _state()
    code = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=2000),
        example="SplxlOBeZQQYbYS6WxSbIA",
    )


class IdTokenSchema(Schema):
    state = _state()
    id_token = Text(
        required=True,
        validate=ma.validate.Length(min=1, max=8000),
        about="From the phone's own sign-in, with the `nonce` as it is or its SHA-256 in hex",
        example="eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2lkIn0.c2lnbmVk",
    )


class ProviderIdentitySchema(Schema):
    id = out.uuid("0b8e8a0c-5b0f-5e0f-9d6c-2f1c4f4a1b3d", source=out.GIVEN)
    issuer = out.text("https://id.example.org", "The provider")
    subject = out.text("248289761001", "What the provider calls the person")
    linked_at = out.instant("2026-03-01T09:31:00.000000Z", source="created_at")


class ProviderIdentitiesSchema(Schema):
    items = out.many(ProviderIdentitySchema)


_provider_shown = writer(OidcProviderSchema)
_begun_shown = writer(OidcStartSchema)
_identity_shown = writer(ProviderIdentitySchema)
_FINISHED = (
    "oidc-not-set-up", "oidc-refused", "email-taken", "identity-taken", "email-not-verified"
)  # fmt: skip


@blp.get("/v1/auth/oidc")
@blp.public
@blp.answers(200, OidcProvidersSchema)
@blp.etag
def list_providers() -> Response:
    """List the providers that people can sign in with"""
    return tagged({"items": [_provider_shown(one) for one in services().oidc.values()]})


@blp.post("/v1/auth/oidc/<string(maxlength=32):provider>/start")
@blp.public
@blp.answers(200, OidcStartSchema)
@blp.problems("oidc-not-set-up", "rate")
def start_oidc(provider: str) -> Response:
    """Begin to sign in with a provider

    Good for ten minutes and one return: to `finish` from a browser, to `id-token` from the phone's
    own sign-in (Apple, Google).
    """
    known = _counted(provider)
    with transaction() as session:
        begun = _begin(session, known, None)
    return answer(_begun_shown(begun))


@blp.post("/v1/account/oidc/<string(maxlength=32):provider>/start")
@blp.answers(200, OidcStartSchema)
@blp.problems("oidc-not-set-up", "rate", "reauthentication-required")
def start_oidc_link(provider: str) -> Response:
    """Begin to link a provider to the account

    It is finished like a sign-in; from then on the provider opens this account. The account's own
    e-mail address must have been confirmed, or be the one that the provider vouches for.
    """
    known = _counted(provider)
    with transaction() as session, proven(session) as account:
        begun = _begin(session, known, account.id)
    return answer(_begun_shown(begun))


@blp.post("/v1/auth/oidc/<string(maxlength=32):provider>/finish")
@blp.public
@blp.body(OidcFinishSchema)
@blp.answers(200, TokenPairSchema)
@blp.problems(*_FINISHED)
def finish_oidc(given: dict[str, Any], provider: str) -> Response:
    """Sign in with what the provider sent back

    A new person gets an account. An existing account with the same e-mail address is not opened:
    its owner signs in to it and links the provider.
    """
    known = _provider(provider)
    if not known.by_browser:
        raise _not_set_up()
    return _finish(
        known,
        given["state"],
        lambda flow: known.claims(
            given["code"], nonce=flow.nonce, code_verifier=flow.code_verifier
        ),
    )


@blp.post("/v1/auth/oidc/<string(maxlength=32):provider>/id-token")
@blp.public
@blp.body(IdTokenSchema)
@blp.answers(200, TokenPairSchema)
@blp.problems(*_FINISHED)
def exchange_id_token(given: dict[str, Any], provider: str) -> Response:
    """Sign in with the ID token of the phone's own sign-in

    As `finish`, for apps that ask the system instead of a browser: give it the `nonce` of `start`.
    The token must be for a client of this server, signed by the provider, and no older than the
    sign-in that was begun.
    """
    known = _provider(provider)
    return _finish(
        known, given["state"], lambda flow: known.claims_of(given["id_token"], nonce=flow.nonce)
    )


def _finish(
    provider: Provider, state: str, ask: Callable[[OidcFlow], Mapping[str, Any]]
) -> Response:
    """Sign in, or link, with the claims that `ask` gets for the flow of the state."""
    _prepared(provider)
    now = services().now()
    with transaction() as session:
        flow = oidc.take_flow(session, provider, state, now=now)
        session.expunge(flow)
    # Outside of any transaction: the provider may take its time.
    try:
        claims = ask(flow)
    except ProviderUnavailable:
        raise _away() from None
    with transaction() as session:
        oidc.end_flow(session, state, account_id=flow.account_id)
        pair = sign_in_by_provider(
            session,
            services().signer,
            provider,
            claims,
            link_to=flow.account_id,
            locale=wanted_locale() or "en",
            now=now,
        )
    return answer(pair_shown(pair))


@blp.get("/v1/account/identities")
@blp.answers(200, ProviderIdentitiesSchema)
@blp.etag
def list_identities() -> Response:
    """List the sign-ins at providers that open the account, the oldest first"""
    with transaction() as session:
        account = current_account(session)
        items = [
            _identity_shown(one, id=identities.identity_id(one))
            for one in identities.mine(session, account.id)
        ]
    return tagged({"items": items})


@blp.delete("/v1/account/identities/<uuid:identity_id>")
@blp.answers(204, description="It opens the account no more")
@blp.problems("last-sign-in")
def unlink_identity(identity_id: UUID) -> Response:
    """Unlink a sign-in at a provider

    Signs out everywhere else, since nobody can tell which sign-in came from it. The last way to
    sign in stays: with no password, `POST /v1/auth/reset` sets one.
    """
    issuers = {one.issuer for one in services().oidc.values()}
    with transaction() as session:
        account = current_account(session)
        identities.unlink(
            session,
            account.id,
            identity_id,
            issuers=issuers,
            keep=current_access().family_id,
            now=services().now(),
        )
    return nothing()


def _provider(name: str) -> Provider:
    provider = services().oidc.get(name)
    if provider is None:
        raise _not_set_up()
    return provider


def _not_set_up() -> NotFound:
    return NotFound("No such provider is set up here.", code="oidc-not-set-up")


def _prepared(provider: Provider) -> Provider:
    try:
        provider.prepare()
    except ProviderUnavailable:
        raise _away() from None
    return provider


def _counted(name: str) -> Provider:
    """Count a sign-in that begins, which stores a row and may call the provider."""
    provider = _provider(name)
    with transaction() as session:
        full = throttle.count_oidc(
            session,
            services().throttle_key,
            address=request.remote_addr or "",
            now=services().now(),
        )
    if full is not None:
        raise TooManyRequests(
            "Too many sign-ins were begun from here.", retry_after_s=full.retry_after_s
        )
    return _prepared(provider)


def _begin(session: Any, provider: Provider, account_id: Any) -> Begun:
    try:
        return oidc.begin(session, provider, account_id=account_id, now=services().now())
    except ProviderUnavailable:
        raise _away() from None


def _away() -> Unavailable:
    return Unavailable("The provider does not answer. Try again.")
