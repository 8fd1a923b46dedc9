"""The audit log against the services' own role: whoever has its password changes nothing in it."""

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Engine, text

from cymba.accounts import audit_guard
from cymba.settings import SettingsError, load
from ops import grants
from tests.ops.services_role import ERASE, ROLE, as_role, refused

OLD = """
    INSERT INTO audit_entry (id, account_id, at, actor_kind, actor_id, action, detail)
    VALUES (-1, :id, now() - interval '40 days', 'system', '', 'old', '{}')"""


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER audit_entry_append_only ON audit_entry",
        "ALTER TABLE audit_entry DISABLE TRIGGER ALL",
        "ALTER TABLE audit_entry OWNER TO cymba_service",
        "SET session_replication_role = replica",
        (
            "CREATE OR REPLACE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RETURN NULL; END $$"
        ),
        "DROP FUNCTION refuse_audit_change() CASCADE",
        "TRUNCATE audit_entry",
        "DELETE FROM audit_entry",
        "UPDATE audit_entry SET detail = '{}'",
        "UPDATE audit_entry SET action = 'nothing'",
        "SELECT * FROM audit_entry FOR UPDATE",
        "DELETE FROM audit_log.earlier",
        "INSERT INTO audit_log.others SELECT * FROM audit_entry",
        "ALTER TABLE audit_entry DETACH PARTITION audit_log.earlier",
        "DELETE FROM account",  # whose entries would go with it
        (
            "INSERT INTO audit_entry SELECT * FROM audit_entry "
            "ON CONFLICT (id, at) DO UPDATE SET detail = '{}'"
        ),
        (
            "MERGE INTO audit_entry AS e USING audit_entry AS o ON e.id = o.id "
            "WHEN MATCHED THEN DELETE"
        ),
        "DELETE FROM account_id_used",
        "INSERT INTO account_id_used VALUES ('x')",  # so that nobody gets that id
        "SELECT erase_account(id) FROM account",  # without an entry in the ledger
        "SELECT setval('audit_entry_id_seq', 1)",
        "DELETE FROM erasure_ledger",
        "UPDATE erasure_ledger SET erased_at = now()",
        "TRUNCATE account CASCADE",
        "UPDATE alembic_version SET version_num = '0001'",
        "ALTER TABLE account ADD COLUMN stray int",
        "DROP TABLE account CASCADE",
        "CREATE TABLE stray (id int)",
        "CREATE TEMPORARY TABLE stray (id int)",
        "CREATE SCHEMA stray",
        "CREATE ROLE stray",
        "GRANT UPDATE ON audit_entry TO cymba_service",
    ],
)
@pytest.mark.usefixtures("logged")
def test_the_role_cannot_change_the_schema_or_what_is_logged(
    granted: Engine, statement: str
) -> None:
    if statement.startswith("GRANT"):  # PostgreSQL refuses it with a warning alone
        with psycopg.connect(as_role(granted)) as connection:
            connection.execute(statement)
        statement = "UPDATE audit_entry SET action = 'nothing'"
    refused(granted, statement)


@pytest.mark.usefixtures("logged")
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_entry",
        "DELETE FROM account",
        "UPDATE audit_entry SET detail = '{}'",
        "UPDATE audit_entry SET action = 'nothing'",
        "UPDATE audit_entry SET at = now() - interval '4 years'",
        "TRUNCATE audit_entry",
        "TRUNCATE account CASCADE",
    ],
)
def test_the_guards_setting_opens_nothing_for_the_role(granted: Engine, statement: str) -> None:
    refused(granted, statement, "SET LOCAL cymba.erasing = 'on'")


def test_a_log_cannot_be_copied_and_put_back_otherwise(granted: Engine, logged: str) -> None:
    """Erase an account, add it again with its log, two entries fewer and one forged: no step of it
    works, and the erasure is in the ledger."""
    entry = (
        "INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail) "
        "VALUES (%s, 'system', '', 'read', '{}')"
    )
    log = "SELECT account_id, actor_kind, actor_id, action, detail, at, id FROM audit_entry"
    account = "SELECT id, email, role, time_zone, locale, name, created_at FROM account"
    with psycopg.connect(as_role(granted), autocommit=True) as thief:
        for _ in range(4):
            thief.execute(entry, (logged,))
        kept = thief.execute(log).fetchall()
        row = thief.execute(account).fetchall()[0]
        # This one reads as of now, whatever others do.
        with psycopg.connect(as_role(granted)) as early:
            early.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            early.execute("SELECT 1 FROM account")
            thief.execute(ERASE, (logged, b"p" * 32))
            back = (
                "INSERT INTO account (id, email, role, time_zone, locale, name, created_at,"
                " version) VALUES (%s, %s, %s, %s, %s, %s, %s, 1)"
            )
            for connection in (early, thief):
                with pytest.raises(errors.UniqueViolation, match="account_id_used"):
                    connection.execute(back, row)
        # Nor does another account become it, of which nothing else is kept.
        thief.execute(back, (other := uuid4(), *row[1:]))
        thief.execute("DELETE FROM account_address")
        with pytest.raises(errors.UniqueViolation, match="account_id_used"):
            thief.execute("UPDATE account SET id = %s", (logged,))
        # What goes into the other's log is of now, by a number after all others.
        for insert in (
            (
                "INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail, at) "
                "VALUES (%s, 'system', '', 'read', '{}', now())"
            ),
            (
                "INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail, id) "
                "VALUES (%s, 'system', '', 'read', '{}', 1)"
            ),
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                thief.execute(insert, (other,))
        # A transaction that was begun long ago does not date it back.
        with thief.transaction():
            began = thief.execute("SELECT now(), pg_sleep(0.01)").fetchall()[0][0]
            thief.execute(entry, (other,))
        at, number = thief.execute("SELECT at, id FROM audit_entry").fetchall()[0]
        assert at > began
        assert number > max(one[-1] for one in kept)
        ledger = thief.execute("SELECT pseudonym, erased_at <= now() FROM erasure_ledger")
        assert ledger.fetchall() == [(b"p" * 32, True)]


def test_on_several_nodes_the_role_names_all_columns_and_an_entry_is_of_now(
    engine: Engine, logged: str
) -> None:
    """There Citus names them. What an entry says of its time and number counts for nothing."""
    with engine.begin() as connection:
        for statement in audit_guard.ENTER_NOW:
            connection.execute(text(statement))
    refused(engine, "INSERT INTO audit_entry SELECT * FROM audit_entry")  # until it is granted
    assert grants.grant(engine, ROLE) == grants.Granted(created=False)
    insert = (
        "INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail, at, id) "
        "VALUES (%s, 'system', '', 'forged', '{}', %s, %s)"
    )
    copying = insert.partition(" VALUES")[0].replace("INSERT INTO", "COPY") + " FROM STDIN"
    with psycopg.connect(as_role(engine), autocommit=True) as thief:
        ((now, last),) = thief.execute("SELECT clock_timestamp(), max(id) FROM audit_entry")
        times = [now + timedelta(seconds=one) for one in (-90, 90, -400 * 86400)]
        forged = [
            *((now, number) for number in (last, 1, -5, 2**63 - 1, last + 9, None)),
            *((at, last + 1) for at in (*times, "-infinity")),
        ]
        for one in forged:
            thief.execute(insert, (logged, *one))
        with pytest.raises(errors.FeatureNotSupported):  # it would be of another part
            thief.execute(insert, (logged, "infinity", last + 1))
        with thief.cursor().copy(copying) as copy:
            copy.write_row((logged, "system", "", "copied", "{}", now, 2))
        seen = "SELECT id, at FROM audit_entry WHERE action IN ('forged', 'copied') ORDER BY ctid"
        entries = thief.execute(seen).fetchall()
        assert len(entries) == len(forged) + 1
        numbers = [number for number, _ in entries]
        assert numbers == sorted(set(numbers))
        assert last < numbers[0]
        assert numbers[-1] < 2**53  # which a client in JavaScript reads exactly
        assert all(abs(at - now) < timedelta(seconds=60) for _, at in entries)
    refused(engine, "DELETE FROM audit_entry", "SET LOCAL cymba.erasing = 'on'")
    refused(engine, "DROP TRIGGER audit_entry_entered_now ON audit_entry")
    with engine.begin() as connection:  # the owner brings back what was
        connection.execute(text(OLD), {"id": logged})
        assert connection.scalar(text("SELECT min(id) FROM audit_entry")) == -1


def test_retention_spares_what_is_younger_than_a_month(granted: Engine, logged: str) -> None:
    with psycopg.connect(as_role(granted)) as connection:
        for before in ("now()", "'infinity'", "NULL"):
            call = f"SELECT remove_audit_entries({before}, 1000)"
            assert connection.execute(call).fetchall() == [(0,)], before
        assert connection.execute("SELECT count(*) FROM audit_entry").fetchall() == [(1,)]
        assert connection.execute("SHOW citus.propagate_set_commands").fetchall() == [("local",)]
        # The function leaves no door open behind it, not even for the owner.
        assert connection.execute("SHOW cymba.erasing").fetchall() == [("off",)]
    assert logged
    with pytest.raises(SettingsError, match="CYMBA_RETENTION_AUDIT_DAYS: expected 0, or at least"):
        load({"CYMBA_RETENTION_AUDIT_DAYS": "29"})


def test_the_guards_of_other_nodes_hear_of_an_erasure(granted: Engine, logged: str) -> None:
    """Citus passes on what a statement sets, where it is told to."""
    with psycopg.connect(as_role(granted)) as connection:
        connection.execute(ERASE, (logged, b"p" * 32))
        assert connection.execute("SHOW citus.propagate_set_commands").fetchall() == [("local",)]
        assert connection.execute("SHOW cymba.erasing").fetchall() == [("off",)]


def test_nobody_is_renamed_in_the_log_who_is_not_erased(granted: Engine, logged: str) -> None:
    with psycopg.connect(as_role(granted)) as connection:
        connection.execute(
            "INSERT INTO audit_entry (account_id, actor_kind, actor_id, action, detail) "
            "SELECT %s, 'share', 'x', 'sessions.read', jsonb_build_object('clinician', %s::text)",
            (logged, stranger := str(uuid4())),
        )
        with pytest.raises(errors.NoDataFound), connection.transaction():
            connection.execute(ERASE, (stranger, b"x" * 32))
        named = "SELECT count(*) FROM audit_entry WHERE detail ->> 'clinician' = %s"
        assert connection.execute(named, (stranger,)).fetchall() == [(1,)]
