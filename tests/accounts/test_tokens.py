"""What HTTP cannot show of tokens: races, and what is left in the database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from cymba.accounts.tables import Account, RefreshToken
from cymba.accounts.tokens import (
    Reused,
    Signer,
    TokenPair,
    Unknown,
    _successor_of,
    read_access,
    read_caller,
    rotate,
    sign_in,
    sign_out,
)
from cymba.database import UnitOfWork, line_of
from tests.end_to_end.parts import wait_until
from tests.lock_waits import is_any_lock_awaited

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def signer(key: bytes) -> Signer:
    return Signer.make(key, access_seconds=900, refresh_days=60, sign_in_days=90, retry_seconds=120)


SIGNER = signer(b"k" * 32)


@pytest.fixture
def account_id(engine):
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="ada@example.org")
        session.add(account)
        session.flush()
        return account.id


@pytest.fixture
def refresh(engine):
    """Trades a token so many seconds after NOW, in a transaction of its own."""

    def trade(token, after_s=0):
        with UnitOfWork(engine) as session, session.begin():
            return rotate(session, SIGNER, token, NOW + timedelta(seconds=after_s))

    return trade


@pytest.fixture
def opens(engine):
    def asked(pair):
        with UnitOfWork(engine) as session:
            access = read_access(SIGNER, pair.access_token, NOW + timedelta(minutes=5))
            return read_caller(line_of(session), access) is not None  # type: ignore[arg-type]

    return asked


@pytest.fixture
def first(engine, account_id):
    with UnitOfWork(engine) as session, session.begin():
        return sign_in(session, SIGNER, account_id, NOW)


def test_a_refresh_whose_answer_was_lost_may_be_tried_again(first, refresh, opens):
    lost = refresh(first.refresh_token)
    got = refresh(first.refresh_token, 119)
    assert got.refresh_token == lost.refresh_token != first.refresh_token
    assert got.refresh_expires_at == lost.refresh_expires_at
    assert opens(lost)
    assert opens(got)
    assert isinstance(refresh(got.refresh_token, 900), TokenPair)


def test_a_successor_can_be_made_by_nobody_without_the_servers_key(first, refresh):
    """Else whoever once held a refresh token would know all that follow it."""
    other = signer(b"o" * 32)
    assert _successor_of(SIGNER, first.refresh_token) == refresh(first.refresh_token).refresh_token
    assert _successor_of(other, first.refresh_token) != _successor_of(SIGNER, first.refresh_token)


def test_after_a_change_of_the_servers_key_a_second_try_ends_nothing(engine, first, refresh, opens):
    lost = refresh(first.refresh_token)
    other = signer(b"o" * 32)
    with UnitOfWork(engine) as session, session.begin():
        outcome = rotate(session, other, first.refresh_token, NOW)
    assert isinstance(outcome, Unknown)
    assert opens(lost)


def test_a_token_that_comes_after_its_successor_was_used_ends_the_family(first, refresh, opens):
    second = refresh(first.refresh_token)
    third = refresh(second.refresh_token, 1)
    assert isinstance(refresh(first.refresh_token, 2), Reused)
    assert not opens(third)
    assert isinstance(refresh(third.refresh_token, 3), Unknown)


def test_a_second_try_that_comes_late_ends_the_family(first, refresh, opens):
    second = refresh(first.refresh_token)
    assert isinstance(refresh(first.refresh_token, 120), Reused)
    assert not opens(second)
    assert isinstance(refresh(second.refresh_token, 121), Unknown)


def test_trying_again_and_again_does_not_lengthen_the_while(first, refresh):
    for after_s in range(0, 120, 40):
        assert isinstance(refresh(first.refresh_token, after_s), TokenPair)
    assert isinstance(refresh(first.refresh_token, 120), Reused)


def test_an_app_of_several_processes_may_refresh_at_once(first, refresh, opens):
    with ThreadPoolExecutor(3) as pool:
        pairs = list(pool.map(refresh, [first.refresh_token] * 3))
    assert len({pair.refresh_token for pair in pairs}) == 1
    assert all(opens(pair) for pair in pairs)
    with ThreadPoolExecutor(3) as pool:
        later = list(pool.map(lambda pair: refresh(pair.refresh_token, 900), pairs))
    assert len({pair.refresh_token for pair in later}) == 1


def test_a_refresh_under_way_does_not_outlast_the_sign_out(engine, account_id):
    with UnitOfWork(engine) as session, session.begin():
        pair = sign_in(session, SIGNER, account_id, NOW)

    def leave():
        with UnitOfWork(engine) as session, session.begin():
            sign_out(session, pair.refresh_token, NOW)

    with ThreadPoolExecutor(1) as pool:
        with UnitOfWork(engine) as session, session.begin():
            newer = rotate(session, SIGNER, pair.refresh_token, NOW)
            leaving = pool.submit(leave)
            wait_until(lambda: is_any_lock_awaited(engine), what="waiting for the refresh")
        leaving.result()
    with UnitOfWork(engine) as session, session.begin():
        access = read_access(SIGNER, newer.access_token, NOW)
        assert read_caller(line_of(session), access) is None  # type: ignore[arg-type]
        assert not isinstance(rotate(session, SIGNER, newer.refresh_token, NOW), TokenPair)


def test_access_ends_to_the_second(engine, account_id):
    with UnitOfWork(engine) as session, session.begin():
        token = sign_in(session, SIGNER, account_id, NOW).access_token
    assert read_access(SIGNER, token, NOW + timedelta(seconds=899)).account_id == account_id
    assert read_access(SIGNER, token, NOW + timedelta(seconds=900)) is None


def test_no_token_is_stored(engine, account_id):
    with UnitOfWork(engine) as session, session.begin():
        pair = sign_in(session, SIGNER, account_id, NOW)
        stored = session.scalars(select(RefreshToken)).one()
        assert pair.refresh_token.encode() not in stored.token_hash
        assert len(stored.token_hash) == 32


def test_expired_tokens_are_swept_at_the_next_sign_in(engine, account_id):
    with UnitOfWork(engine) as session, session.begin():
        for _ in range(3):
            sign_in(session, SIGNER, account_id, NOW)
        sign_in(session, SIGNER, account_id, NOW + timedelta(days=61))
        assert session.scalar(select(func.count(RefreshToken.id))) == 1


def test_a_sign_in_ends_however_often_it_is_refreshed(first, refresh):
    day, pair = 86_400, first
    for days in (40, 80):
        pair = refresh(pair.refresh_token, days * day)
        assert pair.refresh_expires_at <= NOW + SIGNER.sign_in_lifetime
    assert isinstance(refresh(pair.refresh_token, 90 * day), Unknown)
