"""Older accounts get the keys of their addresses, and can still sign in."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from sqlalchemy import text

from cymba.accounts import address_directory, addresses, profile
from cymba.database import UnitOfWork
from ops import schema
from tests.accounts.test_addresses import WRITTEN

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = [
    *("Ada@Example.org", "e\u0301@example.org", "\u00e9@example.org", "Ana<victim@example.org"),
    *("a@b\u00fccher.example", "a@xn--bcher-kva.example", "a@[.a", "\u0130@x.org", "i\u0307@x.org"),
    *("no at all", "a@1.2", "a@B_C.org", "@", "\u00df@x.org"),
]


@pytest.fixture
def older(empty_engine):
    """A database of the code of before, with people in it."""
    schema.upgrade(empty_engine)
    schema.downgrade(empty_engine, "0014")
    with empty_engine.begin() as connection:
        for n, email in enumerate(ADDRESSES):
            connection.execute(
                text(
                    "INSERT INTO account (id, email, name, time_zone, locale, role, version,"
                    " created_at) VALUES (gen_random_uuid(), :email, '', 'UTC', 'en', 'person', 1,"
                    " :at)"
                ),
                {"email": email, "at": FIRST + timedelta(days=n)},
            )
    return empty_engine


@pytest.mark.parametrize("at_once", [1, 3, 5_000])
def test_the_older_of_two_has_the_key_and_both_are_found(older, monkeypatch, at_once):
    steps = {step.revision: step for step in schema.history()}
    for step in ("0017", "0047"):
        monkeypatch.setattr(steps[step].module, "_AT_ONCE", at_once)
    schema.upgrade(older)
    with UnitOfWork(older) as session:
        rows = session.execute(text("SELECT email, email_key FROM account ORDER BY created_at"))
        seen = set()
        for email, key in rows:
            assert key == (None if addresses.key(email) in seen else addresses.key(email)), email
            seen.add(addresses.key(email))
        for email in ADDRESSES:
            assert profile.find_by_email(session, email).email == email
        assert profile.find_by_email(session, "ada@example.ORG").email == "Ada@Example.org"
        assert address_directory.count_missing(session) == 0
        twins = profile.without_key(session)
        assert len(twins) == 3
        assert all(older for _, older in twins)


@pytest.fixture(scope="module")
def rule():
    return next(step for step in schema.history() if step.revision == "0017").module


@settings(max_examples=200)
@given(email=WRITTEN)
def test_the_migrations_rule_is_the_codes(rule, email):
    assert rule._key(email) == addresses.key(email)
