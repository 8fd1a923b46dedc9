"""What a request costs its sender, counted as the last of its first transaction."""

from flask import g, request
from sqlalchemy.orm import Session

from cymba.accounts import quotas
from cymba.accounts.quotas import Charge
from service.http.rate_headers import show_limit
from service.http.services import services


def charge(one: Charge) -> None:
    g.setdefault("charges", []).append(one)


def waive_charges() -> None:
    """Who asks is erased by what they ask for: nothing is to be counted of them any more."""
    g.pop("charges", None)


def body_bytes() -> int:
    length = request.content_length
    return len(request.get_data()) if length is None else length


def take_charges(session: Session) -> None:
    """Count what the request is to be charged for, once.

    Raises:
        TooManyRequests: its sender has used up a quota. Nothing of the transaction is kept.
    """
    for one in g.pop("charges", ()):
        left = quotas.take(session, one, services().now())
        show_limit(one, left)
        if left < 0:
            raise one.refused(left)
