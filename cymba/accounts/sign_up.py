"""A new account: by a code that only the mailbox sees, so that nobody learns who has one.

Nothing is kept of a code: it is a voucher for the address.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from cymba.accounts import addresses, outbox, vouchers
from cymba.accounts.profile import find_by_email
from cymba.accounts.single_use import LIFETIME

SIGN_UP_CODES = "sign-up codes"  # what their key is for (`keys.derive`)

SUBJECT = "Confirm this address"
BODY = """\
To make an account with this address, enter this code in the app within an hour:

    {code}

If you did not ask for this, ignore this mail.
"""
TAKEN_SUBJECT = "You have an account"
TAKEN_BODY = """\
Somebody, probably you, asked for a new account with this address. It has one already: sign in, or
ask for a new password in the app.

If it was not you, you need not do anything.
"""


def request(session: Session, key: bytes, email: str, *, now: datetime) -> None:
    """Mail the address a code or, if it has an account, that it has one. Nothing tells the caller
    which it was, and both take the same work."""
    account = find_by_email(session, email)
    code = make_code(key, email, now)
    outbox.enqueue(
        session,
        account_id=None if account is None else account.id,
        recipient=email if account is None else account.email,
        subject=SUBJECT if account is None else TAKEN_SUBJECT,
        body=(BODY if account is None else TAKEN_BODY).format(code=code),
    )


def make_code(key: bytes, email: str, now: datetime) -> str:
    """A code for the address, however it is written, that is good for an hour."""
    return vouchers.make(key, addresses.key(email), now=now, lifetime=LIFETIME)


def is_good(key: bytes, email: str, code: str, *, now: datetime) -> bool:
    return vouchers.number_of(key, addresses.key(email), code, now=now) is not None
