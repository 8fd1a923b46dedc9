"""Erasing the account, and the receipt of it."""

from typing import Any

from flask import Response, g, request

from cymba.accounts.tables import Account
from cymba.errors import NotFound, Unauthenticated
from cymba.rights import receipts
from cymba.rights.erasure import erase_locked, lock
from service.http import out
from service.http.answers import answer
from service.http.bearer import current_access, require_receipt
from service.http.charges import waive_charges
from service.http.etags import check_preconditions
from service.http.fields import Schema
from service.http.openapi import Resource
from service.http.proof import proven
from service.http.services import services
from service.http.transaction import transaction
from service.http.writing import writer

blp = Resource("erasure", "Erasing the account, and the receipt")


class ErasedSchema(Schema):
    what = out.text("the diary")
    rows = out.whole(41)


class StayingSchema(Schema):
    what = out.text("A hash of your account's number")
    why = out.text("Nobody gets this number again.")


class ErasureReceiptSchema(Schema):
    """What was erased and how much of it, what stays and why, in the person's language then."""

    token = out.text("receipt_Jx3…", "Reads it at `GET /v1/erasure-receipt`", source=out.GIVEN)
    erased_at = out.instant("2026-03-01T18:00:00.000000Z")
    expires_at = out.instant("2026-05-30T18:00:00.000000Z", "When the receipt is gone too")
    language = out.text("en")
    title = out.text("Your account was erased on March 1, 2026.")
    erased = out.many(ErasedSchema)
    stays = out.many(StayingSchema)


_receipt_shown = writer(ErasureReceiptSchema)


@blp.delete("/v1/account")
@blp.answers(200, ErasureReceiptSchema)
@blp.if_match
@blp.problems("reauthentication-required")
def delete_account() -> Response:
    """Erase the account and everything that is held about the person, for good

    Devices become free. What they still send from the person's time is erased on arrival. Export
    first what is to be kept: nobody can undo this. The answer is a receipt; keep its token to read
    it again. Sent again after a lost answer, the request gets the same receipt.
    """
    token = receipts.make_token(services().receipt_key, current_access().account_id)
    now = services().now()
    try:
        with transaction() as session:
            with proven(session) as caller:
                locked = lock(session, caller.id)  # waits, and the sign-in may end meanwhile
            check_preconditions(session.get_one(Account, caller.id).version)
            erased = erase_locked(session, services().erasure_keys, locked, now=now)
            receipts.issue(session, token, erased, locale=caller.locale, now=now)
            shown = _receipt_shown(receipts.read(session, token, now=now), token=token)
            waive_charges()
    except (Unauthenticated, NotFound):  # gone, it may be by the same request sent before
        with transaction() as session:
            waive_charges()
            before = receipts.find(session, token, now=now)
            if before is None or not request.if_match:
                raise
            shown = _receipt_shown(before, token=token)
    return _told(shown)


@blp.get("/v1/erasure-receipt")
@blp.guard(require_receipt, "receipt")
@blp.answers(200, ErasureReceiptSchema)
@blp.problems("unauthenticated", "not-found")
def get_erasure_receipt() -> Response:
    """Read again what was erased and what stays, after the account is gone

    For 90 days, by the receipt's token alone.
    """
    with transaction() as session:
        found = receipts.read(session, g.receipt_token, now=services().now())
        shown = _receipt_shown(found, token=g.receipt_token)
    return _told(shown)


def _told(shown: dict[str, Any]) -> Response:
    g.language = shown["language"]  # of that moment, whoever reads it again
    return answer(shown)
