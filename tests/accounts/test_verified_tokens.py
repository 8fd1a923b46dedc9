from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from cymba.accounts import verified_tokens
from cymba.accounts.tables import Account
from cymba.accounts.tokens import Signer, read_access, sign_in
from cymba.accounts.verified_tokens import VerifiedTokens
from cymba.database import UnitOfWork

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
SIGNER = Signer.make(
    b"a key of thirty-two bytes or more", access_seconds=900, refresh_days=60, sign_in_days=365,
    retry_seconds=120,
)  # fmt: skip


@pytest.fixture
def make_token(engine):
    def make(at=NOW):
        with UnitOfWork(engine) as session, session.begin():
            account = Account(email=f"{uuid4().hex}@example.org")
            session.add(account)
            session.flush()
            return sign_in(session, SIGNER, account.id, at).access_token

    return make


@pytest.fixture
def checked(monkeypatch):
    """The tokens whose signature was checked."""
    seen = []

    def check(signer, token, now):
        seen.append(token)
        return read_access(signer, token, now)

    monkeypatch.setattr(verified_tokens, "read_access", check)
    return seen


def test_a_signature_is_checked_once(make_token, checked):
    known, token = VerifiedTokens(SIGNER), make_token()
    first = known.read(token, NOW)
    assert first == read_access(SIGNER, token, NOW)
    assert known.read(token, NOW + timedelta(minutes=5)) == first
    assert checked == [token]


def test_a_remembered_token_ends_to_the_second(make_token):
    known, token = VerifiedTokens(SIGNER), make_token()
    for seconds, is_good in ((0, True), (899, True), (900, False), (10_000, False)):
        found = known.read(token, NOW + timedelta(seconds=seconds))
        assert (found is not None) is is_good


@pytest.mark.parametrize(("kept", "added"), [(-4, "AAAA"), (None, "\ud800"), (0, "")])
def test_what_is_forged_is_never_remembered(make_token, checked, kept, added):
    known, token = VerifiedTokens(SIGNER), make_token()
    known.read(token, NOW)
    forged = token[:kept] + added
    assert known.read(forged, NOW) is None
    assert known.read(forged, NOW) is None
    assert checked == [token, forged, forged]


def test_it_remembers_no_more_than_it_may(make_token, checked):
    known = VerifiedTokens(SIGNER, most=2)
    tokens = [make_token() for _ in range(3)]
    for token in tokens:
        known.read(token, NOW)
    assert known.read(tokens[2], NOW) is not None
    assert known.read(tokens[1], NOW) is not None
    assert len(checked) == 3
    known.read(tokens[0], NOW)  # the oldest had to leave
    assert len(checked) == 4
