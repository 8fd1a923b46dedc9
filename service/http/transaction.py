"""One database transaction, ended before the answer is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from service.http.charges import take_charges
from service.http.services import services


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end of the `with` block, or rolls back where it raises.

    A view builds its answer from values and returns it after the block: what a client has read
    is committed. An outcome that must be kept although the request fails (a counted guess, a
    revoked family) is a value; the view raises after the block.
    """
    with services().sessions.begin() as session:
        yield session
        take_charges(session)
