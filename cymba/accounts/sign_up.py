"""A new account: by a code that only the mailbox sees, so that nobody learns who has one.

Nothing is kept of a code: it is a voucher for the address.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from cymba.accounts import addresses, letters, vouchers
from cymba.accounts.profile import find_by_email
from cymba.accounts.single_use import LIFETIME

SIGN_UP_CODES = "sign-up codes"  # what their key is for (`keys.derive`)


def request(session: Session, key: bytes, email: str, *, locale: str, now: datetime) -> None:
    """Mail the address a code or, if it has an account, that it has one. Nothing tells the caller
    which it was, and both take the same work."""
    account = find_by_email(session, email)
    letters.post(
        session,
        letters.SIGN_UP if account is None else letters.HAS_ACCOUNT,
        account_id=None if account is None else account.id,
        recipient=email if account is None else account.email,
        locale=locale if account is None else account.locale,
        code=make_code(key, email, now),
    )


def make_code(key: bytes, email: str, now: datetime) -> str:
    """A code for the address, however it is written, that is good for an hour."""
    return vouchers.make(key, addresses.key(email), now=now, lifetime=LIFETIME)


def is_good(key: bytes, email: str, code: str, *, now: datetime) -> bool:
    return vouchers.number_of(key, addresses.key(email), code, now=now) is not None
