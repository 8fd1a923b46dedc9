"""What is past its time goes; what may be the only copy of a reading stays."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from cymba.accounts.changes import announce
from cymba.accounts.tables import (
    Account,
    AuditEntry,
    Change,
    ErasureReceipt,
    KeptAnswer,
    OutgoingMail,
    RefreshToken,
    SingleUseToken,
)
from cymba.database import UnitOfWork
from cymba.imports.tables import DataImport
from cymba.rights import retention
from cymba.rights.retention import RULES, begin_retention, remove_some
from cymba.settings import Settings
from cymba.stimulation.tables import QuarantinedFrame
from cymba.sync.tables import SyncHorizon, SyncOperation

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=4_000)
BY_NAME = {rule.name: rule for rule in RULES}


@pytest.fixture
def account_id(session):
    account = Account(email="ada@example.org")
    session.add(account)
    session.flush()
    return account.id


def rows_at(account_id, at):
    """One row for each rule, as old as `at`."""
    token = at.isoformat().encode()
    refused = {
        "device_id": "device-0001",
        "code": "schema",
        "detail": "x",
        "payload": b"x",
        "received_at": at,
    }
    return {
        "audit": AuditEntry(
            account_id=account_id, at=at, actor_kind="system", actor_id="x", action="y", detail={}
        ),
        "quarantine": QuarantinedFrame(**refused, digest=b"1" + token, replayed_at=at),
        "waiting-quarantine": QuarantinedFrame(**refused, digest=b"2" + token),
        "refresh-tokens": RefreshToken(
            account_id=account_id, family_id=account_id, token_hash=token, expires_at=at
        ),
        "single-use-tokens": SingleUseToken(
            token_hash=token, account_id=account_id, purpose="x", expires_at=at
        ),
        "receipts": ErasureReceipt(token_hash=token, erased_at=at, expires_at=at, told={}),
        "kept-answers": KeptAnswer(
            account_id=account_id,
            key_hash=token,
            request_hash=token,
            answer=token,
            needs_proof=False,
            kept_at=at,
        ),
        "imports": DataImport(
            id=uuid4(),
            account_id=account_id,
            bytes=1,
            time_zone="UTC",
            state="undone",
            created_at=at,
            changed_at=at,
        ),
        "mail": OutgoingMail(recipient="a@b", subject="x", body="y", sent_at=at),
    }


@pytest.mark.parametrize("name", sorted(BY_NAME.keys() - {"tombstones"}))
def test_only_what_is_past_its_time_goes(session, account_id, name):
    rule, settings = BY_NAME[name], Settings(retention_waiting_quarantine_days=30)
    period = timedelta(days=rule.days(settings))
    for at in (NOW - period - timedelta(seconds=1), NOW - period + timedelta(seconds=1), NOW):
        row = rows_at(account_id, at)[name]
        session.add(row)
    session.flush()
    assert remove_some(session, rule, settings, now=NOW) == 1
    assert remove_some(session, rule, settings, now=NOW) == 0
    assert session.scalar(select(func.count()).select_from(type(row))) == 2


def test_nothing_goes_where_the_period_is_0(session, account_id):
    session.add_all(rows_at(account_id, OLD).values())
    session.flush()
    names = [field for field in Settings.__struct_fields__ if field.startswith("retention_")]
    nothing: dict[str, Any] = dict.fromkeys(names, 0)
    never = Settings(**nothing)
    gone = {rule.name for rule in RULES if remove_some(session, rule, never, now=NOW)}
    assert gone == {"kept-answers", "receipts"}  # whose time is promised, and no setting


def test_what_waits_in_quarantine_stays_unless_the_operator_says_so(session, account_id):
    session.add_all(rows_at(account_id, OLD).values())
    session.flush()
    for rule in RULES:
        remove_some(session, rule, Settings(), now=NOW)
    assert session.scalars(select(QuarantinedFrame.replayed_at)).all() == [None]


def test_a_token_that_is_spent_but_not_expired_stays(session, account_id):
    """It would show that it was stolen, if it came back."""
    row = rows_at(account_id, NOW + timedelta(days=1))["refresh-tokens"]
    row.spent_at = OLD
    session.add(row)
    session.flush()
    assert remove_some(session, BY_NAME["refresh-tokens"], Settings(), now=NOW) == 0


def test_tombstones_are_pruned_with_their_horizon(session, account_id):
    announce(session, account_id, "session", "x", deleted=True)
    session.commit()
    session.execute(Change.__table__.update().values(changed_at=OLD))  # type: ignore[attr-defined]
    assert remove_some(session, BY_NAME["tombstones"], Settings(), now=NOW) == 1
    assert session.scalar(select(func.count()).select_from(Change)) == 0


# Without these a plan can only ask what is chosen again for each row.
WAYS = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "indexscan", "bitmapscan")
ASKS_AGAIN = "; ".join(f"SET LOCAL enable_{way} = off" for way in WAYS)


def test_tombstones_and_answers_go_in_small_transactions_too(session, account_id, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_A_TRANSACTION", 2)
    for n in range(4):
        announce(session, account_id, "session", str(n), deleted=n != 2)
    session.commit()
    session.execute(Change.__table__.update().values(changed_at=OLD))  # type: ignore[attr-defined]
    for _ in range(3):
        session.add(SyncOperation(account_id=account_id, id=uuid4(), answer={}, answered_at=OLD))
    session.flush()
    session.execute(text(ASKS_AGAIN))
    horizons, counts = [], []
    for _ in range(4):
        counts.append(remove_some(session, BY_NAME["tombstones"], Settings(), now=NOW))
        horizons.append(session.scalar(select(SyncHorizon.pruned_through)))
    assert counts == [2, 2, 2, 0]
    assert horizons[-1] == 4  # a cursor from before the last of them has expired
    assert session.scalars(select(Change.entity_id)).all() == ["2"]


def test_it_works_in_small_transactions(session, account_id, monkeypatch):
    monkeypatch.setattr(retention, "ROWS_A_TRANSACTION", 2)
    session.add_all(rows_at(account_id, OLD - timedelta(days=day))["mail"] for day in range(5))
    session.flush()
    counts = [remove_some(session, BY_NAME["mail"], Settings(), now=NOW) for _ in range(4)]
    assert counts == [2, 2, 1, 0]


def test_one_process_at_a_time(engine, session, account_id):
    session.add(rows_at(account_id, OLD)["mail"])
    session.commit()
    with UnitOfWork(engine) as other, other.begin():
        assert begin_retention(other)
        assert remove_some(session, BY_NAME["mail"], Settings(), now=NOW) == 0
    session.rollback()
    assert remove_some(session, BY_NAME["mail"], Settings(), now=NOW) == 1
