"""What an operator does with a person's data: hand it out, take it in, forget it for good."""

import zipfile
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from cymba.accounts import audit
from cymba.accounts.profile import register
from cymba.accounts.tables import Account, AuditEntry
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.sync.tables import NEVER_RESTORED, SyncEpoch
from tests.kept_database import new_database

EMAIL = "ana@example.org"
SECRET = "an operator's secret key of enough characters"


@pytest.fixture
def settings(settings):
    return settings | {"SECRET_KEY": SECRET}


@pytest.fixture
def ana(engine):
    with UnitOfWork(engine) as session, session.begin():
        account_id = register(session, email=EMAIL, password="a password that is long").id
        audit.note(session, account_id, audit.Actor("system", "x"), "old")
    return account_id


@pytest.fixture
def elsewhere(postgres_server, settings):
    """The settings of another, empty database."""
    with new_database(postgres_server.url) as url:
        yield settings | {"DATABASE_URL": url}


def test_an_account_goes_from_one_database_to_another(
    cymba, settings, elsewhere, ana, tmp_path, engine
):
    file = tmp_path / "ana.zip"
    done = cymba("account", "export", EMAIL, str(file), settings=settings)
    assert done.returncode == 0, done.stderr
    assert zipfile.ZipFile(file).testzip() is None
    assert file.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["ana.zip"]
    taken = cymba("account", "import", str(file), settings=elsewhere)
    assert taken.returncode == 0, taken.stderr
    assert str(ana) in taken.stdout
    again = cymba("account", "import", str(file), settings=elsewhere)
    assert again.returncode == 1
    assert "in the database already" in again.stderr
    there = make_engine(elsewhere["DATABASE_URL"])
    with UnitOfWork(there) as session:
        actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
        assert actions == ["old", "account.exported", "account.imported"]
        assert session.get_one(Account, ana).password_hash is None
    there.dispose()
    with UnitOfWork(engine) as session:
        assert session.scalars(select(AuditEntry.actor_kind)).all() == ["system", "operator"]


def test_somebody_who_is_not_there(cymba, settings, tmp_path):
    file = tmp_path / "nobody.zip"
    for who in ("nobody@example.org", str(uuid4())):
        done = cymba("account", "export", who, str(file), settings=settings)
        assert (done.returncode, file.exists()) == (1, False)
        assert "no account" in done.stderr


def test_a_file_that_is_no_archive(cymba, settings, tmp_path):
    file = tmp_path / "not.zip"
    file.write_bytes(b"PK\x03\x04 no archive")
    done = cymba("account", "import", str(file), settings=settings)
    assert done.returncode == 1
    assert "cannot be imported" in done.stderr


def test_erasing_asks_first(cymba, settings, ana, engine):
    refused = cymba("account", "erase", EMAIL, settings=settings, stdin="n\n")
    assert refused.returncode == 1
    with UnitOfWork(engine) as session:
        assert session.get(Account, ana) is not None
    done = cymba("account", "erase", str(ana), "--yes", settings=settings)
    assert done.returncode == 0, done.stderr
    with UnitOfWork(engine) as session:
        assert session.get(Account, ana) is None


def test_a_restored_backup_forgets_again(cymba, settings, elsewhere, ana, tmp_path):
    """`elsewhere` is the backup: it has the account, and was made before the erasure."""
    archive, ledger = tmp_path / "ana.zip", tmp_path / "ledger.jsonl"
    assert cymba("account", "export", EMAIL, str(archive), settings=settings).returncode == 0
    assert cymba("account", "import", str(archive), settings=elsewhere).returncode == 0
    assert cymba("account", "erase", EMAIL, "--yes", settings=settings).returncode == 0
    assert cymba("erasure", "ledger", str(ledger), settings=settings).returncode == 0
    assert EMAIL not in ledger.read_text()
    assert str(ana) not in ledger.read_text()
    for erased in (1, 0):  # a replay may be repeated
        replayed = cymba("restore", "finish", str(ledger), settings=elsewhere)
        assert replayed.returncode == 0, replayed.stderr
        assert f"1 in the ledger, {erased} erased again" in replayed.stdout
    restored = make_engine(elsewhere["DATABASE_URL"])
    with UnitOfWork(restored) as session:
        assert session.get(Account, ana) is None
        assert session.scalars(select(SyncEpoch.epoch)).one() != NEVER_RESTORED
    restored.dispose()
    back = cymba("account", "import", str(archive), settings=elsewhere)
    assert back.returncode == 1
    assert "erased here" in back.stderr


def test_a_ledger_of_another_secret_is_refused(cymba, settings, ana, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    assert cymba("erasure", "ledger", str(ledger), settings=settings).returncode == 0
    other = settings | {"SECRET_KEY": "another secret key of enough characters"}
    done = cymba("restore", "finish", str(ledger), settings=other)
    assert done.returncode == 1
    assert "another CYMBA_SECRET_KEY" in done.stderr
    assert ana


def test_what_is_past_its_time_goes_with_the_keepers_first_round(cymba, settings, ana, engine):
    with UnitOfWork(engine) as session, session.begin():
        session.add(
            AuditEntry(
                account_id=ana,
                at=utc_now() - timedelta(days=31),
                actor_kind="system",
                actor_id="x",
                action="older",
                detail={},
            )
        )
    shown = cymba("retention", "show", settings=settings | {"RETENTION_AUDIT_DAYS": "30"})
    assert "30 days  entries of the audit log" in shown.stdout
    assert "kept  quarantined frames that were not replayed" in shown.stdout
    kept = cymba("seal", "--once", settings=settings | {"RETENTION_AUDIT_DAYS": "0"})
    assert kept.returncode == 0, kept.stderr
    with UnitOfWork(engine) as session:
        assert sorted(session.scalars(select(AuditEntry.action))) == ["old", "older"]
    done = cymba("seal", "--once", settings=settings | {"RETENTION_AUDIT_DAYS": "30"})
    assert done.returncode == 0, done.stderr
    with UnitOfWork(engine) as session:
        assert session.scalars(select(AuditEntry.action)).all() == ["old"]
    ran = cymba("retention", "run", settings=settings)
    assert ran.returncode == 0, ran.stderr
    assert "0  audit" in ran.stdout
