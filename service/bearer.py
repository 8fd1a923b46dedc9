"""Who is asking: the bearer token of a request, and the account that it stands for."""

from flask import g, request
from sqlalchemy.orm import Session

from cymba.accounts.tokens import Access, Caller, load_caller, read_access
from cymba.errors import Unauthenticated
from service.edge import edge


def require_token() -> None:
    """Check the request's token, before anything else of the request is looked at.

    Raises:
        Unauthenticated: there is none, or it is forged or expired.
    """
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("This needs the header `Authorization: Bearer <access token>`.")
    access = read_access(edge().signer, token.strip(), edge().now())
    if access is None:
        raise _ended()
    g.access = access


def current_access() -> Access:
    access: Access = g.access
    return access


def current_account(session: Session) -> Caller:
    """The account that asks; every view that needs a person begins with it.

    Raises:
        Unauthenticated: the account is gone, or its sign-in was ended since.
    """
    caller = load_caller(session, current_access())
    if caller is None:
        raise _ended()
    return caller


def _ended() -> Unauthenticated:
    return Unauthenticated("The access token is not good (any more). Refresh it or sign in.")
