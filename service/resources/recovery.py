"""A forgotten password, and a change of the e-mail address: by codes sent to the mailbox."""

from typing import Any

import marshmallow as ma
from flask import Response, request

from cymba.accounts import recovery, throttle
from cymba.accounts.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from cymba.errors import TooManyRequests
from service.http.answers import nothing
from service.http.bearer import current_account
from service.http.fields import Email, Schema, Text
from service.http.openapi import Resource
from service.http.services import services
from service.http.transaction import transaction

blp = Resource("recovery", "Passwords forgotten, addresses changed")


def _code() -> Text:
    return Text(
        required=True,
        validate=ma.validate.Length(min=1, max=200),
        example="Jx3kQ2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
    )


class AddressSchema(Schema):
    email = Email(required=True, example="ada@example.org")


class NewPasswordSchema(Schema):
    code = _code()
    new_password = Text(
        required=True,
        validate=ma.validate.Length(min=MIN_CHARACTERS, max=MAX_CHARACTERS),
        metadata={"format": "password"},
        example="staple battery",
    )


class NewAddressSchema(Schema):
    new_email = Email(required=True, example="ada@example.com")
    password = Text(
        required=True,
        validate=ma.validate.Length(max=MAX_CHARACTERS),
        metadata={"format": "password"},
        example="correct horse battery",
    )


class CodeSchema(Schema):
    code = _code()


@blp.post("/v1/auth/reset")
@blp.public
@blp.body(AddressSchema)
@blp.answers(202, description="A code is on its way, if the address has an account")
@blp.problems("rate")
def request_reset(given: dict[str, Any]) -> Response:
    """Ask for a new password

    The answer is the same whether or not the address has an account.
    """
    _count()
    with transaction() as session:
        recovery.request_reset(session, given["email"], now=services().now())
    return Response(status=202)


@blp.post("/v1/auth/reset/confirm")
@blp.public
@blp.body(NewPasswordSchema)
@blp.answers(204, description="Set; every sign-in has ended")
@blp.problems("code-not-good", "rate")
def confirm_reset(given: dict[str, Any]) -> Response:
    """Set a new password with the code

    Signs out everywhere.
    """
    _count()
    with transaction() as session:
        recovery.reset_password(session, given["code"], given["new_password"], now=services().now())
    return nothing()


@blp.post("/v1/account/email")
@blp.body(NewAddressSchema)
@blp.answers(202, description="A code is on its way to the new address")
@blp.problems("wrong-password", "rate")
def request_email_change(given: dict[str, Any]) -> Response:
    """Ask to use another e-mail address"""
    _count()
    with transaction() as session:
        account = current_account(session)
        recovery.request_email_change(
            session, account.id, given["new_email"], given["password"], now=services().now()
        )
    return Response(status=202)


@blp.post("/v1/account/email/confirm")
@blp.public
@blp.body(CodeSchema)
@blp.answers(204, description="Changed; the old address is told")
@blp.problems("code-not-good", "email-taken", "rate")
def confirm_email_change(given: dict[str, Any]) -> Response:
    """Use the new e-mail address, with the code that was sent to it"""
    _count()
    with transaction() as session:
        recovery.confirm_email_change(session, given["code"], now=services().now())
    return nothing()


def _count() -> None:
    """Each of these costs a mail or a guess: counted by where it comes from."""
    with transaction() as session:
        counted = throttle.count_recovery(
            session,
            services().throttle_key,
            address=request.remote_addr or "",
            now=services().now(),
        )
    if isinstance(counted, throttle.Throttled):
        raise TooManyRequests("Too many tries from here.", retry_after_s=counted.retry_after_s)
