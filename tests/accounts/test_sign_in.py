"""A sign-in, or a forgotten password, while the account it opens is being changed."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from cymba.accounts import recovery
from cymba.accounts.profile import enter, find_by_email, lock, move
from cymba.accounts.sign_in import sign_in_by_password
from cymba.accounts.tables import Account, OutgoingMail, RefreshToken
from cymba.accounts.throttle import SignInAttempt, ask_sign_in
from cymba.accounts.tokens import Signer, TokenPair
from cymba.database import UnitOfWork

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
KEY = b"k" * 32
SIGNER = Signer.make(KEY, access_seconds=900, refresh_days=60, sign_in_days=90, retry_seconds=120)
OLD, NEW = "ada@example.org", "ada@example.net"


@pytest.fixture
def verified(engine: Engine) -> Account:
    """An account from before addresses had keys, whose password was just found right."""
    with UnitOfWork(engine, expire_on_commit=False) as session, session.begin():
        account = enter(session, OLD, password_hash="a weak hash")
        session.execute(update(Account).values(email_key=None))
        session.refresh(account)
    return account


Act = Callable[[Session], object]


@pytest.fixture
def during(engine: Engine) -> Callable[[Act, Act], list[object]]:
    """Do the second while the first is done, but not committed."""

    def both(change: Act, act: Act) -> list[object]:
        found: list[object] = []

        def come() -> None:
            with UnitOfWork(engine) as session, session.begin():
                found.append(act(session))

        with UnitOfWork(engine) as session, session.begin():
            change(session)
            session.flush()
            thread = threading.Thread(target=come)
            thread.start()
            with engine.connect() as looking:
                while thread.is_alive() and not looking.scalar(
                    text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
                ):
                    pass
        thread.join()
        return found

    return both


@pytest.fixture
def sign_in(verified: Account) -> Act:
    """By the password of before."""

    def come_in(session: Session) -> TokenPair | None:
        attempt = ask_sign_in(session, KEY, email=OLD, address="192.0.2.1", now=NOW)
        assert isinstance(attempt, SignInAttempt)
        return sign_in_by_password(
            session, SIGNER, verified, renewed_hash="a strong hash", attempt=attempt, now=NOW
        )

    return come_in


@pytest.fixture
def change_address(verified: Account) -> Act:
    return lambda session: move(session, lock(session, verified.id), NEW)


def test_who_comes_in_by_a_password_that_is_just_given_up_stays_out(
    engine: Engine, verified: Account, during: Callable[[Act, Act], list[object]], sign_in: Act
) -> None:
    def reset(session: Session) -> None:
        recovery.set_password(session, verified.id, "another hash", now=NOW)

    assert during(reset, sign_in) == [None]
    with UnitOfWork(engine) as session:
        assert session.get_one(Account, verified.id).password_hash == "another hash"
        assert session.query(RefreshToken).all() == []


def test_who_comes_in_while_the_address_changes_is_found_by_the_new_one(
    engine: Engine,
    verified: Account,
    during: Callable[[Act, Act], list[object]],
    change_address: Act,
    sign_in: Act,
) -> None:
    (pair,) = during(change_address, sign_in)
    assert isinstance(pair, TokenPair)
    with UnitOfWork(engine) as session:
        account = find_by_email(session, NEW)
        assert account is not None
        assert (account.id, account.password_hash) == (verified.id, "a strong hash")
        assert find_by_email(session, OLD) is None


def test_no_code_goes_to_an_address_that_is_just_given_up(
    engine: Engine, during: Callable[[Act, Act], list[object]], change_address: Act
) -> None:
    during(change_address, lambda session: recovery.request_reset(session, OLD, now=NOW))
    with UnitOfWork(engine) as session:
        assert session.scalars(select(OutgoingMail.recipient)).all() == [NEW]
