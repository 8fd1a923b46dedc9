"""Signing in with an OpenID Connect provider."""

from typing import Any

import marshmallow as ma
from flask import Response

from cymba.accounts import oidc
from cymba.accounts.oidc import Begun, Provider, ProviderUnavailable
from cymba.accounts.tokens import sign_in
from cymba.errors import NotFound
from service.answers import answer
from service.auditing import note
from service.auth import TOKEN_EXAMPLE, TokenPairSchema, pair_shown
from service.bearer import current_account
from service.edge import edge
from service.openapi import Resource
from service.problems import Unavailable
from service.strict import Schema, Text
from service.transaction import transaction

blp = Resource("oidc", "Signing in with another provider")

BEGUN_EXAMPLE = {
    "authorization_url": "https://id.example.org/authorize?response_type=code&client_id=cymba",
    "state": "v3Xq0B2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0",
}


class BegunSchema(Schema):
    authorization_url = ma.fields.String(
        required=True, metadata={"description": "Where the person signs in, in a browser"}
    )
    state = ma.fields.String(
        required=True,
        metadata={"description": "The app must see the same come back, or drop what came"},
    )


class FinishSchema(Schema):
    state = Text(required=True, validate=ma.validate.Length(min=1, max=200))
    code = Text(required=True, validate=ma.validate.Length(min=1, max=2000))


@blp.post("/v1/auth/oidc/start")
@blp.public
@blp.answers(200, BegunSchema, example=BEGUN_EXAMPLE)
@blp.problems("oidc-not-set-up")
def start_oidc() -> Response:
    """Begin to sign in with the provider"""
    provider = _provider()
    with transaction() as session:
        begun = _begin(session, provider, None)
    return answer({"authorization_url": begun.authorization_url, "state": begun.state})


@blp.post("/v1/account/oidc/start")
@blp.answers(200, BegunSchema, example=BEGUN_EXAMPLE)
@blp.problems("oidc-not-set-up")
def start_oidc_link() -> Response:
    """Begin to link the provider to the account

    It is finished like a sign-in; from then on the provider opens this account.
    """
    provider = _provider()
    with transaction() as session:
        begun = _begin(session, provider, current_account(session).id)
    return answer({"authorization_url": begun.authorization_url, "state": begun.state})


@blp.post("/v1/auth/oidc/finish")
@blp.public
@blp.body(FinishSchema, example={"state": BEGUN_EXAMPLE["state"], "code": "SplxlOBeZQQYbYS6WxSbIA"})
@blp.answers(200, TokenPairSchema, example=TOKEN_EXAMPLE)
@blp.problems(
    "oidc-not-set-up", "oidc-refused", "email-taken", "identity-taken", "email-not-verified"
)
def finish_oidc(given: dict[str, Any]) -> Response:
    """Sign in with what the provider sent back

    A person who is new gets an account. An account with the same e-mail address is not opened: its
    owner signs in to it and links the provider.
    """
    provider, now = _provider(), edge().now()
    with transaction() as session:
        flow = oidc.take_flow(session, given["state"], now=now)
        session.expunge(flow)
    # Outside of any transaction: the provider may take its time.
    try:
        claims = provider.claims(given["code"], nonce=flow.nonce, code_verifier=flow.code_verifier)
    except ProviderUnavailable:
        raise _away() from None
    with transaction() as session:
        account_id = oidc.account_for(session, provider, claims, link_to=flow.account_id)
        pair = sign_in(session, edge().signer, account_id, now)
        note(session, account_id, "account.signed_in", provider=provider.issuer)
    return answer(pair_shown(pair))


def _provider() -> Provider:
    provider = edge().oidc
    if provider is None:
        raise NotFound("No provider is set up here.", code="oidc-not-set-up")
    try:
        provider.prepare()
    except ProviderUnavailable:
        raise _away() from None
    return provider


def _begin(session: Any, provider: Provider, account_id: Any) -> Begun:
    try:
        return oidc.begin(session, provider, account_id=account_id, now=edge().now())
    except ProviderUnavailable:
        raise _away() from None


def _away() -> Unavailable:
    return Unavailable("The provider does not answer. Try again.")
