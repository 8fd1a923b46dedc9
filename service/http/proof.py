"""Fresh proof of who is asking: what a thief with a token alone must not be able to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from flask import g
from sqlalchemy.orm import Session

from cymba.accounts import throttle, tokens
from cymba.accounts.passwords import verify_password, wrong_password
from cymba.accounts.tables import Account
from cymba.accounts.tokens import Caller
from cymba.errors import TooManyRequests
from service.http.bearer import current_access, current_account
from service.http.services import services
from service.http.transaction import transaction


def proven_account(session: Session) -> Caller:
    """The account that asks, if its sign-in gave its password, or came from a provider, just now.

    Raises:
        Forbidden: it was too long ago (`reauthentication-required`).
    """
    g.proof_needed = True  # for the answer too, where it is kept (`repeatable`)
    account = current_account(session)
    tokens.require_proof(session, current_access(), services().now())
    return account


@contextmanager
def proven(session: Session) -> Iterator[Caller]:
    """As `proven_account`, to write what outlasts the sign-in.

    Rows that name the account hold it. So a new password either finds them, or was under way before
    and has ended the sign-in, which is looked at again.

    Raises:
        Unauthenticated: the sign-in has ended meanwhile.
    """
    yield proven_account(session)
    session.flush()
    current_account(session)


def verified_account(password: str, *, pointer: str) -> Account:
    """The account that asks, as it was when the current password that the request gives was looked
    at. That is done outside of any transaction, since the hash is slow on purpose: what changes the
    account then locks it, and compares its hash with this one's.

    Raises:
        Rejected: the password is wrong; `pointer` names it in the problem.
        TooManyRequests: this sign-in has given too many wrong ones.
    """
    now = services().now()
    with transaction() as session:
        account = session.get_one(Account, current_account(session).id)
        attempt = throttle.ask_proof(
            session, services().throttle_key, family_id=current_access().family_id, now=now
        )
    if isinstance(attempt, throttle.Throttled):
        raise TooManyRequests("Too many wrong passwords.", retry_after_s=attempt.retry_after_s)
    if not verify_password(account.password_hash, password):
        with transaction() as session:
            throttle.count_wrong(session, attempt, now)
        raise wrong_password(pointer)
    return account
