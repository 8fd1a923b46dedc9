"""What HTTP cannot show of tokens: races, and what is left in the database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from cymba.accounts.tables import Account, RefreshToken
from cymba.accounts.tokens import (
    Reused,
    Signer,
    TokenPair,
    load_caller,
    read_access,
    rotate,
    sign_in,
    sign_out,
)
from tests.end_to_end.parts import wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIGNER = Signer.make(b"k" * 32, access_seconds=900, refresh_days=60)


@pytest.fixture
def account_id(engine):
    with Session(engine) as session, session.begin():
        account = Account(email="ada@example.org")
        session.add(account)
        session.flush()
        return account.id


def test_of_two_refreshes_at_once_one_wins_and_the_family_ends(engine, account_id):
    with Session(engine) as session, session.begin():
        pair = sign_in(session, SIGNER, account_id, NOW)

    def refresh(_):
        with Session(engine) as session, session.begin():
            return rotate(session, SIGNER, pair.refresh_token, NOW)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(refresh, range(2)))
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Reused", "TokenPair"]
    won = next(outcome for outcome in outcomes if isinstance(outcome, TokenPair))
    with Session(engine) as session, session.begin():
        assert load_caller(session, read_access(SIGNER, won.access_token, NOW)) is None
        assert not isinstance(rotate(session, SIGNER, won.refresh_token, NOW), TokenPair | Reused)


def test_a_refresh_under_way_does_not_outlast_the_sign_out(engine, account_id):
    with Session(engine) as session, session.begin():
        pair = sign_in(session, SIGNER, account_id, NOW)

    def leave():
        with Session(engine) as session, session.begin():
            sign_out(session, pair.refresh_token, NOW)

    def waits():
        query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        with engine.connect() as connection:
            return connection.scalar(query) > 0

    with ThreadPoolExecutor(1) as pool:
        with Session(engine) as session, session.begin():
            newer = rotate(session, SIGNER, pair.refresh_token, NOW)
            leaving = pool.submit(leave)
            wait_until(waits, timeout_s=30, what="waiting for the refresh")
        leaving.result()
    with Session(engine) as session, session.begin():
        assert load_caller(session, read_access(SIGNER, newer.access_token, NOW)) is None
        assert not isinstance(rotate(session, SIGNER, newer.refresh_token, NOW), TokenPair)


def test_access_ends_to_the_second(engine, account_id):
    with Session(engine) as session, session.begin():
        token = sign_in(session, SIGNER, account_id, NOW).access_token
    assert read_access(SIGNER, token, NOW + timedelta(seconds=899)).account_id == account_id
    assert read_access(SIGNER, token, NOW + timedelta(seconds=900)) is None


def test_no_token_is_stored(engine, account_id):
    with Session(engine) as session, session.begin():
        pair = sign_in(session, SIGNER, account_id, NOW)
        stored = session.scalars(select(RefreshToken)).one()
        assert pair.refresh_token.encode() not in stored.token_hash
        assert len(stored.token_hash) == 32


def test_expired_tokens_are_swept_at_the_next_sign_in(engine, account_id):
    with Session(engine) as session, session.begin():
        for _ in range(3):
            sign_in(session, SIGNER, account_id, NOW)
        sign_in(session, SIGNER, account_id, NOW + timedelta(days=61))
        assert session.scalar(select(func.count(RefreshToken.id))) == 1
