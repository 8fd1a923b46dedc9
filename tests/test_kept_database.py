"""A test finds nothing that an earlier test left in its database."""

from collections.abc import Iterator

import psycopg
import pytest

from cymba.accounts.tables import Account, AuditEntry
from cymba.database import UnitOfWork, make_engine
from ops.postgres import EmbeddedPostgres
from tests.kept_database import KeptDatabases


def in_current(statement: str) -> str:
    """A statement about the database itself, which has to be named."""
    return f"DO $$ BEGIN EXECUTE format('{statement}', current_database()); END $$"


@pytest.fixture
def kept(postgres_server: EmbeddedPostgres) -> Iterator[KeptDatabases]:
    databases = KeptDatabases(postgres_server.url)
    yield databases
    databases.drop()


def run(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def add_ana(url: str) -> int:
    """The number of the entry in her log."""
    engine = make_engine(url)
    with UnitOfWork(engine) as session, session.begin():
        ana = Account(email="ana@example.org")
        session.add(ana)
        session.flush()
        entry = AuditEntry(account_id=ana.id, actor_kind="system", actor_id="x", action="old")
        entry.detail = {}
        session.add(entry)
        session.flush()
        number = entry.id
    engine.dispose()
    return number


def test_rows_and_the_numbers_of_rows_are_gone(kept: KeptDatabases) -> None:
    with kept.lend() as url:
        first = add_ana(url)
    with kept.lend() as again:
        assert again == url
        assert run(again, "SELECT email FROM account") == []
        assert run(again, "SELECT action FROM audit_entry") == []
        assert add_ana(again) == first


def test_a_connection_that_is_left_open_holds_nothing_up(kept: KeptDatabases) -> None:
    with kept.lend() as url:
        left = psycopg.connect(url)
        left.execute("LOCK TABLE account")
    with kept.lend() as again:
        assert again == url
        add_ana(again)
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT")


def test_a_test_may_end_every_connection(kept: KeptDatabases) -> None:
    with kept.lend() as url:
        add_ana(url)
        run(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                 " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
    with kept.lend() as another:
        add_ana(another)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE stray (id int)",
        "DROP TABLE change CASCADE",
        "ALTER TABLE frame ADD CONSTRAINT odd CHECK (seq <> 3)",
        "ALTER TABLE account ALTER COLUMN name SET DEFAULT 1",
        "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
        "DROP FUNCTION refuse_audit_change() CASCADE",
        "ALTER FUNCTION refuse_audit_change() SECURITY DEFINER",
        "GRANT SELECT ON account TO PUBLIC",
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        in_current("REVOKE TEMP ON DATABASE %I FROM PUBLIC"),
        in_current("ALTER DATABASE %I SET work_mem = 1024"),
        "DELETE FROM alembic_version",
    ],
)
def test_another_schema_other_rights_or_shipped_rows_mean_another_database(
    kept: KeptDatabases, statement: str
) -> None:
    with kept.lend() as url:
        run(url, statement)
    with kept.lend() as another:
        assert another != url
        add_ana(another)
        assert len(run(another, "SELECT version_num FROM alembic_version")) == 1
