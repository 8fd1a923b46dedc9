"""Apps that may ask people to let them in. An operator registers each: nobody else can."""

import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from cymba.accounts import sharing
from cymba.accounts.app_tables import AppClient, AppGrant
from cymba.accounts.hashing import hashed
from cymba.accounts.tables import Share
from cymba.errors import NotFound, Rejected

MOST_NAME_CHARACTERS = 100
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
# A scheme of an app's own is a domain in reverse (RFC 8252, section 7.1). So it is none that a
# browser runs or shows, such as `javascript:` and `data:`.
_OWN_SCHEME = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+")


def register(
    session: Session, *, name: str, redirect_uris: Sequence[str], confidential: bool
) -> tuple[AppClient, str | None]:
    """A new client, and its secret if it can keep one: that is shown this once and never again.

    Raises:
        Rejected: the name does not fit, or a person cannot be sent back to an address.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= MOST_NAME_CHARACTERS or not name.isprintable():
        raise Rejected(f"a name has 1 to {MOST_NAME_CHARACTERS} printable characters")
    if not redirect_uris:
        raise Rejected("give at least one --redirect-uri, to which people are sent back")
    for uri in redirect_uris:
        _check_redirect_uri(uri)
    secret = secrets.token_urlsafe(32) if confidential else None
    client = AppClient(
        name=name,
        redirect_uris=list(dict.fromkeys(redirect_uris)),
        secret_hash=None if secret is None else hashed(secret),
    )
    session.add(client)
    session.flush()
    return client, secret


def clients(session: Session) -> list[AppClient]:
    """Those that may ask, the oldest first."""
    standing = select(AppClient).where(AppClient.removed_at.is_(None))
    return list(session.scalars(standing.order_by(AppClient.created_at, AppClient.id)))


def find(session: Session, client_id: str) -> AppClient | None:
    """A client that may ask."""
    try:
        client = session.get(AppClient, UUID(client_id))
    except ValueError:
        return None
    # One client, one spelling: `UUID` reads many.
    if client is None or client.removed_at is not None or str(client.id) != client_id:
        return None
    return client


def is_secret_of(client: AppClient, secret: str) -> bool:
    known = client.secret_hash
    return known is not None and hmac.compare_digest(known, hashed(secret))


def remove(session: Session, client_id: str, *, now: datetime) -> int:
    """The client may ask nobody any more, and what people let it read ends; how many those were.

    Raises:
        NotFound: there is no such client.
    """
    client = find(session, client_id)
    if client is None:
        raise NotFound(f"there is no client {client_id}; `cymba client list` shows all")
    # Who is letting it in now waits for this, and is refused then (`app_grants.allow`).
    session.refresh(client, with_for_update=True)
    client.removed_at = now
    held = select(AppGrant.share_id).where(AppGrant.client_id == client.id)
    return sharing.end(session, Share.id.in_(held), Share.expires_at > now, now=now)


def _check_redirect_uri(uri: str) -> None:
    try:
        parts = urlsplit(uri)
        host = parts.hostname
    except ValueError:
        raise Rejected(f"{uri} is no address") from None
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri or len(uri) > 2000:
        raise Rejected(f"{uri}: an address has only ASCII characters, no space and no fragment")
    if host is not None and parts.username is not None:
        raise Rejected(f"{uri}: an address names no user")
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and host in _LOOPBACK:
        return
    if _OWN_SCHEME.fullmatch(parts.scheme):
        return
    raise Rejected(
        f"{uri}: people are sent back by https, to this machine itself by http, or by a scheme of "
        "the app's own such as org.example.app:/back"
    )
