"""One database transaction, ended before the answer is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import g
from sqlalchemy.orm import Session

from service.http.charges import take_charges
from service.http.services import services


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end of the `with` block, or rolls back where it raises.

    A view builds its answer from values and returns it after the block: what a client has read
    is committed. An outcome that must be kept although the request fails (a counted guess, a
    revoked family) is a value; the view raises after the block.

    Where the answer is kept (`repeatable`), a block is a part of the transaction that keeps it.
    """
    whole: Session | None = g.get("unit_of_work")
    if whole is None:
        with services().sessions.begin() as session:
            yield session
            take_charges(session)
    else:
        with whole.begin_nested():
            yield whole
            take_charges(whole)
