"""Running the migrations: they make the models' schema, up, down, up again, and in company."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, MetaData, text

from cymba.database import UnitOfWork
from cymba.tables import metadata
from ops import schema
from tests.migrations import breaking_off

CATALOGUE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attidentity::text
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnum > 0
              AND NOT a.attisdropped""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    "indexes": """
        SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'""",
    "options": """
        SELECT relname, relkind::text, reloptions::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL""",
    "types": """
        SELECT typname, typtype::text FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')""",
    "sequences": """SELECT sequencename, data_type::text, increment_by FROM pg_sequences""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace""",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal AND tgrelid::regclass::text NOT LIKE '%.%'""",
}


def catalogue(connection: Connection) -> dict[str, set[tuple[object, ...]]]:
    """Everything PostgreSQL knows of the schema, alembic's own table apart."""
    return {
        kind: {
            tuple(row)
            for row in connection.execute(text(query))
            if not str(row[0]).startswith("alembic_version")
        }
        for kind, query in CATALOGUE.items()
    }


def test_migrations_make_exactly_what_the_models_say(empty_engine: Engine, engine: Engine) -> None:
    schema.upgrade(empty_engine)
    with engine.connect() as models, models.begin():
        models.execute(text("DROP SCHEMA public, audit_log CASCADE; CREATE SCHEMA public"))
        metadata.create_all(models)
        expected = catalogue(models)
    with empty_engine.connect() as migrated:
        found = catalogue(migrated)
    for kind, things in expected.items():
        assert found[kind] == things, kind


def test_check_agrees_and_says_what_differs(empty_engine: Engine) -> None:
    before = schema.check(empty_engine)
    assert not before.fits
    assert before.current is None
    assert before.pending == tuple(step.revision for step in schema.history())
    schema.upgrade(empty_engine)
    assert schema.check(empty_engine).fits
    with empty_engine.begin() as connection:
        connection.execute(text("ALTER TABLE account ALTER COLUMN name DROP NOT NULL"))
        connection.execute(text("CREATE TABLE stray (id int)"))
    after = schema.check(empty_engine)
    assert not after.fits
    assert any("stray" in difference for difference in after.differences)
    assert any("nullable" in difference for difference in after.differences)


def test_up_down_up_on_data(empty_engine: Engine) -> None:
    """Going down one step and up again leaves the rows of every table that the step left alone."""
    schema.upgrade(empty_engine)
    steps = schema.history()
    for lower in [step.revision for step in reversed(steps[:-1])]:
        schema.downgrade(empty_engine, lower)
        assert schema.current(empty_engine) == lower
        breaking_off.upgrade(empty_engine)
        assert schema.current(empty_engine) == f"{int(lower) + 1:04}"
    schema.upgrade(empty_engine)
    with empty_engine.begin() as connection:
        _insert_rows(connection)
    schema.downgrade(empty_engine, "base")
    with empty_engine.connect() as connection:
        left = catalogue(connection)
    assert left == {kind: set() for kind in CATALOGUE}
    outcome = schema.upgrade(empty_engine)
    assert isinstance(outcome, schema.Upgraded)
    assert outcome.applied == tuple(step.revision for step in steps)
    with empty_engine.begin() as connection:
        _insert_rows(connection)
        assert connection.execute(text("SELECT count(*) FROM stimulation_session")).scalar() == 1


def _insert_rows(connection: Connection) -> None:
    """A row in each table that others refer to, and one that refers to them all."""
    connection.execute(
        text("""
        INSERT INTO device (id, serial, model, created_at) VALUES ('device-0001', 'S1', 'x', now());
        """)
    )
    reflected = MetaData()
    reflected.reflect(connection)
    account = _minimal_row(reflected, "account", email="a@example.org", role="person")
    connection.execute(reflected.tables["account"].insert(), account)
    connection.execute(
        reflected.tables["stimulation_session"].insert(),
        _minimal_row(
            reflected,
            "stimulation_session",
            account_id=account["id"],
            device_id="device-0001",
            state="open",
            time_source="arrival",
        ),
    )


def _minimal_row(reflected: MetaData, table: str, **given: object) -> dict[str, object]:
    """Made-up values for the columns of `table` that must have one."""
    samples: dict[str, object] = {
        "UUID": "00000000-0000-4000-8000-000000000001",
        "VARCHAR": "x",
        "TEXT": "x",
        "TIMESTAMP": "2026-01-01T00:00:00Z",
        "JSONB": [],
        "BOOLEAN": False,
    }
    row = {
        column.name: samples.get(column.type.__visit_name__, 0)
        for column in reflected.tables[table].columns
        if not column.nullable and column.server_default is None
    }
    return row | given


def test_processes_that_start_together_take_turns(empty_engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: schema.upgrade(empty_engine), range(4)))
    applied = [o.applied for o in outcomes if isinstance(o, schema.Upgraded)]
    assert len(applied) == 4
    assert sorted(map(len, applied)) == [0, 0, 0, len(schema.history())]


@contextmanager
def holding(engine: Engine, statement: str) -> Iterator[None]:
    """Another process's open transaction."""
    with engine.connect() as connection, connection.begin():
        connection.execute(text(statement))
        yield


def test_a_lock_that_is_never_freed_is_reported(empty_engine: Engine) -> None:
    with holding(empty_engine, f"SELECT pg_advisory_xact_lock({schema.ADVISORY_LOCK})"):
        outcome = schema.upgrade(empty_engine, wait_s=0)
    assert isinstance(outcome, schema.SchemaLocked)
    assert schema.current(empty_engine) is None


def test_a_busy_table_is_tried_again_then_reported(
    empty_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where alembic has its own table already, somebody may be holding it."""
    schema.upgrade(empty_engine)
    schema.downgrade(empty_engine, "base")
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(schema, "ATTEMPTS", 2)
    with holding(empty_engine, "LOCK TABLE alembic_version IN EXCLUSIVE MODE"):
        outcome = schema.upgrade(empty_engine)
    assert isinstance(outcome, schema.SchemaLocked)
    freed = threading.Event()
    monkeypatch.setattr(schema, "ATTEMPTS", 5)

    def hold_a_moment() -> None:
        with holding(empty_engine, "LOCK TABLE alembic_version IN EXCLUSIVE MODE"):
            taken.set()
            freed.wait(0.2)

    taken = threading.Event()
    other = threading.Thread(target=hold_a_moment)
    other.start()
    taken.wait()
    outcome = schema.upgrade(empty_engine)
    other.join()
    assert isinstance(outcome, schema.Upgraded)
    assert schema.check(empty_engine).current == outcome.after


def test_a_database_of_other_code_is_left_alone(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine)
    with UnitOfWork(empty_engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.commit()
    assert schema.upgrade(empty_engine) == schema.UnknownRevision("9999")
    assert not schema.check(empty_engine).fits


def test_each_step_is_told(empty_engine: Engine) -> None:
    told: list[str] = []
    schema.upgrade(empty_engine, on_step=lambda step: told.append(step.revision))
    assert told == [step.revision for step in schema.history()]
