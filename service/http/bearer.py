"""Who is asking: the bearer token of a request, and the account that it stands for.

A share's token stands for the account that shares, on routes that are marked with its scope and on
no others. It comes as the bearer token or, from a clinician who signs in, in `Cymba-Share` beside
their own; there its id will do, if they keep it with their account.
"""

from collections.abc import Callable, Collection

from flask import g, request
from sqlalchemy.orm import Session

from cymba.accounts import app_grants, consent, quotas, sharing
from cymba.accounts.app_scopes import Interaction
from cymba.accounts.tables import Account, Share
from cymba.accounts.tokens import AccessToken, Caller, caller_of, read_caller
from cymba.database import line_of
from cymba.errors import Forbidden, Unauthenticated
from cymba.rights import receipts
from cymba.voice import said
from service.http.charges import charge
from service.http.language import speak, wanted_locale
from service.http.services import services
from service.http.under_way import hold

SHARE_HEADER = "Cymba-Share"
AppLook = tuple[Collection[str], Interaction]
"""Types of FHIR's resources, and whether one is read or they are searched."""


def require_token() -> None:
    """Check the request's token, before anything else of the request is looked at.

    Raises:
        Unauthenticated: there is none, or it is forged or expired.
    """
    token = _bearer()
    if SHARE_HEADER in request.headers or token.startswith(sharing.TOKEN_PREFIX):
        raise Forbidden("A share does not reach as far as this.", code="share-scope")
    g.access = _access(token)


def reader(*scopes: str, app: AppLook | None = None) -> Callable[[], None]:
    """The check of a route that shares with any of `scopes` may read, besides the person's own
    token; without scopes every share may. `app`: what an app that the person let in looks at there;
    None: nothing is there for it."""

    def check() -> None:
        token, shared = _bearer(), request.headers.get(SHARE_HEADER)
        if app is not None and token.startswith(app_grants.TOKEN_PREFIX):
            access = app_grants.read_access(services().app_signer, token, services().now())
            if access is None:
                raise ended()
            g.share_token, g.app_access, g.app_look = token, access, app
        elif token.startswith(sharing.TOKEN_PREFIX):
            g.share_token, g.share_scopes = token, scopes
        elif shared is not None:
            g.access, g.share_token, g.share_scopes = _access(token), shared, scopes
        else:
            g.access = _access(token)

    return check


def require_share() -> None:
    """The check of a route that is about the share itself, whatever its scopes."""
    token, shared = _bearer(), request.headers.get(SHARE_HEADER)
    if shared is not None:
        g.access = _access(token)
    elif not token.startswith(sharing.TOKEN_PREFIX):
        raise Unauthenticated(
            said(
                "Send the share's token as the bearer token, or in `{header}`.", header=SHARE_HEADER
            )
        )
    g.share_token, g.share_scopes = shared or token, ()


def require_receipt() -> None:
    """The check of the route that reads the receipt of an erasure, when the account is gone."""
    token = _bearer()
    if not token.startswith(receipts.TOKEN_PREFIX):
        raise Unauthenticated("Send the receipt's token as the bearer token.")
    g.receipt_token = token


def current_access() -> AccessToken:
    access: AccessToken = g.access
    return access


def is_by_share() -> bool:
    """Whether another looks, by a share of the person's."""
    return "share_token" in g


def opened_scopes() -> frozenset[str]:
    """Those of the route's scopes that the share has. Ask once the account is known."""
    opened: frozenset[str] = g.opened_scopes
    return opened


def opened_types() -> frozenset[str] | None:
    """Where an app asks: those of the types it looks at that it may. Ask once the account is known.
    None: no app asks."""
    opened: frozenset[str] | None = g.get("opened_types")
    return opened


def hold_reading(account: Caller) -> None:
    """Hold one of the places for reading a whole session of this account until the answer is sent.
    Those who look by shares have places of their own together.

    Raises:
        Busy: there is none left.
    """
    hold(services().readings, ("shares", account.id) if is_by_share() else account.id)


def current_account(session: Session) -> Caller:
    """The account that asks; every view that needs a person begins with it.

    Raises:
        Unauthenticated: the account is gone, or its sign-in was ended since.
    """
    if is_by_share():
        return _sharer(session)
    return signed_in(read_caller(line_of(session), current_access()))


def signed_in(found: Caller | None) -> Caller:
    """The caller that was looked up by the request's access token, and is answered in their own
    language.

    Raises:
        Unauthenticated: none was found: the account is gone, or its sign-in was ended since.
    """
    if found is None:
        raise ended()
    speak(found.locale)
    return found


def _sharer(session: Session) -> Caller:
    """Whose data the request's share opens."""
    share, viewer = current_share(session)
    owner = caller_of(session, share.account_id)
    if viewer is None and wanted_locale() is None:
        speak(owner.locale)
    return owner


def current_share(session: Session) -> tuple[Share, Account | None]:
    """The request's share, and who is signed in besides holding it."""
    viewer = None
    if "access" in g:
        caller = signed_in(read_caller(line_of(session), current_access()))
        viewer = session.get_one(Account, caller.id)
    now = services().now()
    if "app_look" in g:
        types, interaction = g.app_look
        share, g.opened_types = app_grants.open_share(
            session, g.app_access, types, interaction, now=now
        )
    else:
        share = sharing.open_share(session, g.share_token, g.share_scopes, viewer=viewer, now=now)
        g.opened_scopes = frozenset(g.share_scopes) & frozenset(share.scopes)
    hold(services().requests, ("shares", share.account_id))  # however many shares there are
    charge(quotas.share_look(share.account_id, share.id))
    return share, viewer


def _bearer() -> str:
    header = request.headers.get("Authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("This needs the header `Authorization: Bearer <access token>`.")
    return token.strip()


def _access(token: str) -> AccessToken:
    """The person's own token. An app's reads through FHIR alone."""
    if token.startswith(app_grants.TOKEN_PREFIX):
        raise Forbidden("A share does not reach as far as this.", code="share-scope")
    access = services().tokens.read(token, services().now())
    if access is None:
        raise ended()
    return access


def ended() -> Unauthenticated:
    return Unauthenticated("The access token is not good (any more). Refresh it or sign in.")


def consenting_account(session: Session) -> Caller:
    """The account that asks.

    Raises:
        Forbidden: the person has not agreed to insights.
    """
    account = current_account(session)
    consent.require(line_of(session), account.id, "insights")
    return account
