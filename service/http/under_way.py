"""Requests under way: no one party may hold all threads and connections of the server.

Locks of the database are waited for in a thread and with a connection, and much that an account
does takes the same locks. What comes beyond these bounds is refused before it waits for anything.
"""

from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager

from flask import g, request

from cymba.accounts.throttle import network
from cymba.errors import Busy
from service.http.places import Places
from service.http.services import services

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@contextmanager
def under_way() -> Iterator[None]:
    """Hold the request's places while it is answered.

    Raises:
        Busy: whoever asks has too much under way.
    """
    with ExitStack() as g.under_way:
        changes = request.method not in _READING
        for owner in _owners(changes=changes):
            hold(services().requests, owner)
            if changes:
                hold(services().changes, owner)
        yield


def hold(places: Places, owner: Hashable) -> None:
    """Hold a place until the request is answered.

    Raises:
        Busy: the owner has no place left.
    """
    if not places.take(owner):
        raise Busy("Too much of this is under way at once. Wait for it, then try again.")
    g.under_way.callback(places.leave, owner)


def _owners(*, changes: bool) -> list[Hashable]:
    """Who asks, as far as that is known without a look at the database."""
    owners: list[Hashable] = []
    if "access" in g:
        owners.append(g.access.account_id)
    if "share_token" in g:
        owners.append(g.share_token)
    if (device_id := g.get("uploading_device")) is not None:
        owners.append(device_id)
    if not owners and changes and not g.get("by_broker"):
        owners.append(network(request.remote_addr or ""))
    return owners
