"""Limits on requests under way: no party may hold all threads and connections of the server.

A request that waits for a lock of the database holds a thread and a connection, and requests of one
account often wait for the same lock. A request over the limit is refused before it waits.
"""

from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

from flask import Response, g, request

from cymba.accounts import quotas
from cymba.accounts.throttle import network
from cymba.errors import Busy
from service.http.charges import body_bytes, charge
from service.http.compression import packed
from service.http.places import Places
from service.http.services import services

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PIECE_BYTES = 64 * 1024
LEAVE_S = 300.0  # a client that takes longer for a large answer is cut off


@contextmanager
def under_way() -> Iterator[None]:
    """Hold the request's places while it is answered.

    Raises:
        Busy: the caller has too many requests under way.
    """
    with ExitStack() as g.under_way:
        changes = request.method not in _READING
        for owner in _owners(changes=changes):
            hold(services().requests, owner)
            if changes:
                hold(services().changes, owner)
        # Frames, and files of other apps, have quotas of their own.
        if changes and "access" in g and "charged_apart" not in g:
            charge(quotas.written(g.access.account_id, body_bytes()))
        yield


def hold(places: Places, owner: Hashable) -> None:
    """Hold a place until the request is answered.

    Raises:
        Busy: the owner has no place left.
    """
    if not places.take(owner):
        raise Busy("Too much of this is under way at once. Wait for it, then try again.")
    g.under_way.callback(places.leave, owner)


def hold_hashing() -> None:
    """Hold a place for looking at or making a password's hash, for somebody who is not signed in.

    Raises:
        Busy: as many come from their network already.
    """
    hold(services().hashes, network(request.remote_addr or ""))


def large_answer(body: bytes, content_type: str) -> Response:
    """`body`, streamed in pieces. The request keeps its places until all are sent, which bounds the
    memory that slow clients hold."""
    places = g.under_way.pop_all()
    response = Response(content_type=content_type)
    small = packed(body, response)
    response.response = _pieces(small, places)
    response.headers["Content-Length"] = str(len(small))
    response.call_on_close(places.close)  # also if the client never starts to read
    return response


def _pieces(body: bytes, places: ExitStack) -> Iterator[bytes]:
    end_s = monotonic() + LEAVE_S
    with places:
        for begin in range(0, len(body), _PIECE_BYTES):
            yield body[begin : begin + _PIECE_BYTES]
            if monotonic() > end_s:
                raise TimeoutError("an answer took too long to leave")


def _owners(*, changes: bool) -> list[Hashable]:
    """The callers, as far as they are known without a query."""
    owners: list[Hashable] = []
    if "access" in g:
        owners.append(g.access.account_id)
    if "share_token" in g:
        owners.append(g.share_token)
    if "asking_device" in g:
        owners.append(g.asking_device)
    if not owners and changes and not g.get("by_broker"):
        owners.append(network(request.remote_addr or ""))
    return owners
