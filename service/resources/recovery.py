"""A forgotten password, and a change of the e-mail address: by codes sent to the mailbox."""

from typing import Any

import marshmallow as ma
from flask import Response, request

from cymba.accounts import recovery, single_use
from cymba.accounts.passwords import hash_password, wrong_password
from cymba.accounts.tables import Account
from cymba.errors import TooManyRequests
from cymba.rights.password_reset import reset_password
from service.http.answers import nothing
from service.http.bearer import current_access, current_account
from service.http.codes import count_code, has_enough
from service.http.fields import Email, Password, Schema, Text
from service.http.openapi import Resource
from service.http.proof import proven_account, verified_account
from service.http.services import services
from service.http.transaction import transaction
from service.http.under_way import hold_hashing

blp = Resource("recovery", "Passwords forgotten, addresses changed")


def _code() -> Text:
    return Text(
        required=True,
        validate=ma.validate.Length(min=1, max=200),
        example="Jx3kQ2m8mK2y0dYpQm1w3xS5tV7uN9aL4cE6gI8kO0Q",
    )


class EmailAddressSchema(Schema):
    email = Email(required=True, example="ada@example.org")


class PasswordResetSchema(Schema):
    code = _code()
    new_password = Password(new=True, required=True, example="staple battery")


class EmailChangeSchema(Schema):
    new_email = Email(required=True, example="ada@example.com")
    password = Password(
        about="Of an account that has one; without, the sign-in must be of the last ten minutes",
        example="correct horse battery",
    )


class EmailCodeSchema(Schema):
    code = _code()


@blp.post("/v1/auth/reset")
@blp.public
@blp.body(EmailAddressSchema)
@blp.answers(202, description="A code is on its way, if the address has an account")
@blp.problems("rate")
def request_reset(given: dict[str, Any]) -> Response:
    """Ask for a new password

    The answer is the same whether or not the address has an account. One address is sent five
    codes in an hour at most; the last of them is good.
    """
    count_code(request.remote_addr or "")
    with transaction() as session:
        if not has_enough(session, given["email"]):
            recovery.request_reset(session, given["email"], now=services().now())
    return Response(status=202)


@blp.post("/v1/auth/reset/confirm")
@blp.public
@blp.body(PasswordResetSchema)
@blp.answers(204, description="Set; every sign-in has ended")
@blp.problems("code-not-good", "rate")
def confirm_reset(given: dict[str, Any]) -> Response:
    """Set a new password with the code

    Signs out everywhere, and ends what somebody else may have left: shares, links to providers,
    and codes that hand a device on.
    """
    hold_hashing()
    account = _account_of(given["code"], "password-reset")
    # Outside of any transaction: the hash is slow on purpose.
    new_hash = hash_password(
        given["new_password"], pointer="/new_password", of=(account.email, account.name)
    )
    with transaction() as session:
        reset_password(session, given["code"], new_hash, now=services().now())
    return nothing()


@blp.post("/v1/account/email")
@blp.body(EmailChangeSchema)
@blp.answers(202, description="A code is on its way to the new address")
@blp.problems("wrong-password", "rate", "reauthentication-required")
def request_email_change(given: dict[str, Any]) -> Response:
    """Ask to use another e-mail address

    With the account's own address it asks for a code that confirms it.
    """
    count_code(str(current_access().account_id))
    verified = _asking(given.get("password"))
    with transaction() as session:
        current_account(session)
        if has_enough(session, given["new_email"]):
            raise TooManyRequests("This address was sent enough codes.", retry_after_s=720)
        recovery.request_email_change(session, verified, given["new_email"], now=services().now())
    return Response(status=202)


@blp.post("/v1/account/email/confirm")
@blp.public
@blp.body(EmailCodeSchema)
@blp.answers(204, description="Changed; the old address gets a notice")
@blp.problems("code-not-good", "email-taken", "rate")
def confirm_email_change(given: dict[str, Any]) -> Response:
    """Use the new e-mail address, with the code that was sent to it"""
    _account_of(given["code"], "email-change")
    with transaction() as session:
        recovery.confirm_email_change(session, given["code"], now=services().now())
    return nothing()


def _asking(password: str | None) -> Account:
    """Whose address it is to be, who has shown that they hold the account."""
    if password is not None:
        return verified_account(password, pointer="/password")
    with transaction() as session:
        account = session.get_one(Account, proven_account(session).id)
    if account.password_hash is not None:
        raise wrong_password("/password")
    return account


def _account_of(code: str, purpose: single_use.Purpose) -> Account:
    """The account of a code. A wrong code is counted; a right one works, however many wrong ones
    others have tried.

    Raises:
        Rejected: the code is not good (any more).
        TooManyRequests: too many were tried from here.
    """
    with transaction() as session:
        account = single_use.account_of(session, code, purpose, now=services().now())
    if account is None:
        count_code(request.remote_addr or "")
        raise recovery.code_not_good()
    return account
