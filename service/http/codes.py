"""Codes that are sent by mail: how many are asked for and tried, and how many one address gets."""

from sqlalchemy.orm import Session

from cymba.accounts import throttle
from cymba.errors import TooManyRequests
from service.http.services import services
from service.http.transaction import transaction


def count_code(whose: str) -> None:
    """Each costs a mail or is a guess: counted by where it comes from, or who asks.

    Raises:
        TooManyRequests: too many were asked for or tried.
    """
    with transaction() as session:
        full = throttle.count_recovery(
            session, services().throttle_key, address=whose, now=services().now()
        )
    if full is not None:
        raise TooManyRequests("Too many tries from here.", retry_after_s=full.retry_after_s)


def has_enough(session: Session, email: str) -> bool:
    """Count a code for the address; whether it has had so many that no other goes there yet."""
    full = throttle.count_recipient(
        session, services().throttle_key, email=email, now=services().now()
    )
    return full is not None
