"""The person's own account."""

from datetime import datetime
from typing import Any

import marshmallow as ma
from flask import Response, request

from cymba.accounts import profile, quotas, recovery, sign_up, throttle, tokens
from cymba.accounts.passwords import hash_password
from cymba.accounts.tables import Account
from cymba.errors import Rejected, TooManyRequests
from cymba.sync.language import change_account
from cymba.voice import MAX_TAG_CHARACTERS, TAG_PATTERN
from service.http import out
from service.http.answers import nothing, tagged
from service.http.bearer import current_access, current_account
from service.http.charges import charge
from service.http.codes import count_code, has_enough
from service.http.etags import check_preconditions
from service.http.fields import Email, Password, Pattern, Schema, Text
from service.http.language import wanted_locale
from service.http.openapi import Resource
from service.http.proof import verified_account
from service.http.services import services
from service.http.transaction import transaction
from service.http.under_way import hold_hashing
from service.http.writing import writer

blp = Resource("account", "The person's own account")

MOST_FOR_A_LANGUAGE = quotas.WRITTEN.capacity // 10  # or who has much could never change it


def _name(**kwargs: Any) -> Text:
    return Text(validate=ma.validate.Length(max=profile.MAX_NAME_CHARACTERS), **kwargs)


def _time_zone(**kwargs: Any) -> Text:
    about = "IANA name; history by day goes by it"
    return Text(validate=ma.validate.Length(max=64), about=about, **kwargs)


def _locale(**kwargs: Any) -> Text:
    rules = [Pattern(TAG_PATTERN), ma.validate.Length(max=MAX_TAG_CHARACTERS)]
    about = "BCP 47, with its extensions. What the API says is in its language, on every phone"
    return Text(validate=rules, about=about, **kwargs)


class RegistrationSchema(Schema):
    email = Email(required=True, example="ada@example.org")
    password = Password(new=True, required=True, example="correct horse battery")
    name = _name(load_default="", example="Ada")
    time_zone = _time_zone(load_default="UTC", example="Europe/Berlin")
    locale = _locale(example="de-DE")
    code = Text(
        validate=ma.validate.Length(min=1, max=200),
        about="From the mail; without it, one is sent",
        example="AGrKc-Tm3QhJx3kQ2m8mK2y0dYpQm1w3",
    )


class AccountChangeSchema(Schema):
    """Only what is given changes. A new password needs the current one."""

    name = _name()
    time_zone = _time_zone(example="Asia/Tokyo")
    locale = _locale()
    current_password = Password()
    new_password = Password(new=True)


class FreshProofSchema(Schema):
    password = Password(required=True, example="correct horse battery")


class AccountSchema(Schema):
    id = out.uuid("0d9e4c1f-6a43-4f7e-9c56-3c0d0f1c2b11")
    email = out.text("ada@example.org")
    email_verified_at = out.instant(
        "2026-03-01T09:30:00.000000Z",
        "When a code came back from the mailbox, or a provider vouched for it; null: ask for a "
        "code with `POST /v1/account/email`",
        null=True,
    )
    name = out.text("Ada")
    time_zone = out.text("Europe/Berlin")
    locale = out.text("de-DE")
    role = out.text("person", one_of=["person", "clinician", "operator"])
    created_at = out.instant("2026-03-01T09:30:00.000000Z")


_shown = writer(AccountSchema)


@blp.post("/v1/accounts")
@blp.public
@blp.body(RegistrationSchema)
@blp.answers(202, description="Asked without a code: one is on its way, if all else is right")
@blp.answers(201, AccountSchema)
@blp.etag
@blp.problems("code-not-good", "email-taken", "rate")
def create_account(given: dict[str, Any]) -> Response:
    """Make an account

    Ask twice: first without `code`, which mails one to the address, then the same with it. Of an
    address that has an account the mail says so, and the answer is the same: nobody learns from it
    who has one. A code is good for an hour. One address is sent five in an hour at most. Without
    `locale` the account speaks the language of `Accept-Language`.
    """
    code = given.pop("code", None)
    given.setdefault("locale", wanted_locale() or "en")
    now, email = services().now(), given["email"]
    if code is None:
        return _mail_code(given, now)
    hold_hashing()
    if not sign_up.is_good(services().sign_up_key, email, code, now=now):
        count_code(request.remote_addr or "")
        raise recovery.code_not_good()
    with transaction() as session:
        account = profile.register(session, **given)
        profile.verify_email(account, now)
        shown, version = _shown(account), account.version
    return tagged(shown, status=201, version=version)


def _mail_code(given: dict[str, Any], now: datetime) -> Response:
    with transaction() as session:
        full = throttle.count_sign_up(
            session, services().throttle_key, address=request.remote_addr or "", now=now
        )
    if full is not None:
        raise TooManyRequests("Too many new accounts from here.", retry_after_s=full.retry_after_s)
    profile.check_new(**given)
    with transaction() as session:
        if not has_enough(session, given["email"]):
            sign_up.request(
                session,
                services().sign_up_key,
                given["email"],
                locale=given["locale"],
                now=now,
            )
    return Response(status=202)


@blp.get("/v1/account")
@blp.answers(200, AccountSchema)
@blp.etag
def get_account() -> Response:
    """Read the account"""
    with transaction() as session:
        account = session.get_one(Account, current_account(session).id)
        shown, version = _shown(account), account.version
    return tagged(shown, version=version)


@blp.patch("/v1/account")
@blp.body(AccountChangeSchema)
@blp.answers(200, AccountSchema)
@blp.etag
@blp.if_match
@blp.problems("wrong-password", "rate")
def update_account(given: dict[str, Any]) -> Response:
    """Change the account

    A new password signs out everywhere else. A new `locale` is the language of everything from then
    on, on every phone: what has a text in it comes again with the next sync.
    """
    current, new = given.pop("current_password", None), given.pop("new_password", None)
    if (current is None) != (new is None):
        missing = "new_password" if new is None else "current_password"
        raise Rejected(
            "A new password goes with the current one.",
            code="validation",
            errors=[{"pointer": f"/{missing}", "detail": "Missing data for required field."}],
        )
    verified = new_hash = None
    if current is not None and new is not None:
        verified = verified_account(current, pointer="/current_password")
        new_hash = hash_password(
            new, pointer="/new_password", of=(verified.email, given.get("name", verified.name))
        )
    with transaction() as session:
        account = profile.lock(session, current_account(session).id)
        check_preconditions(account.version)
        told = change_account(session, account, **given)
        if told:  # each is a row that is written, and read by every phone
            cost = min(told * quotas.REQUEST_BYTES, MOST_FOR_A_LANGUAGE)
            charge(quotas.written(account.id, cost))
        if verified is not None and new_hash is not None:
            recovery.change_password(
                session,
                account,
                verified=verified,
                new_hash=new_hash,
                keep=current_access().family_id,
                now=services().now(),
            )
        shown, version = _shown(account), account.version
    return tagged(shown, version=version)


@blp.post("/v1/account/proof")
@blp.body(FreshProofSchema)
@blp.answers(204, description="For ten minutes this sign-in may do what needs fresh proof")
@blp.problems("wrong-password", "rate")
def prove(given: dict[str, Any]) -> Response:
    """Give the password once more

    Linking a provider, sharing, handing a device on and erasing the account ask for it
    (`reauthentication-required`) when the sign-in is older than ten minutes. Without a password,
    sign in at the provider again.
    """
    verified_account(given["password"], pointer="/password")
    with transaction() as session:
        current_account(session)
        tokens.prove(session, current_access(), services().now())
    return nothing()
