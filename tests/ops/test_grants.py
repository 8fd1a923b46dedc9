"""The services' role: what it may do, and what it must not."""

from uuid import UUID, uuid4

import psycopg
from click.testing import CliRunner
from sqlalchemy import Engine, text

from cymba.accounts.audit import Actor, note
from cymba.accounts.profile import register
from cymba.database import UnitOfWork, make_engine, utc_now
from cymba.distribution import PLACES
from cymba.rights.erasure import erase
from cymba.rights.retention import RULES, remove_some
from cymba.settings import Settings
from cymba.tables import metadata
from ops import cli, grants, schema
from tests.ops.services_role import ERASE, KEYS, ROLE, as_role, refused


def test_what_works_with_the_owners_rights_is_the_services_alone(granted: Engine) -> None:
    """A function that is everybody's, or finds its tables by the caller's path, is a hole."""
    query = text("""
        SELECT oid::regprocedure::text, proconfig, has_function_privilege('public', oid, 'EXECUTE')
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef""")
    with granted.connect() as connection:
        found = [tuple(row) for row in connection.execute(query)]
    path = ["search_path=pg_catalog, pg_temp"]
    short, utc = "lock_timeout=500ms", "TimeZone=UTC"  # while it takes a part away, others wait
    assert sorted(found) == [
        ("audit_months()", [*path, utc], False),
        ("drop_audit_month(timestamp with time zone)", [*path, short, utc], False),
        ("erase_account(uuid)", path, False),
        ("erase_account(uuid,bytea,jsonb)", path, False),
        ("lock_account(uuid)", path, False),
        ("make_audit_months(integer)", [*path, "lock_timeout=300ms", utc], False),
        ("note_account_address()", path, False),
        ("remove_audit_entries(timestamp with time zone,integer)", path, False),
        ("use_account_id()", path, False),
    ]


def test_services_of_the_version_before_keep_their_rights_through_an_upgrade(
    engine: Engine, cymba, settings, logged: str
) -> None:
    """What it did by itself: it works until the new version's rights are granted as a whole."""
    schema.downgrade(engine, "0009")
    with engine.begin() as connection:
        connection.execute(text(f"GRANT DELETE ON account, audit_entry TO {ROLE}"))
        connection.execute(text(f"GRANT UPDATE (detail) ON audit_entry TO {ROLE}"))
    upgraded = cymba("db", "upgrade", "--grant", ROLE, settings=settings)
    assert upgraded.returncode == 0, upgraded.stderr
    assert upgraded.stdout.splitlines()[-1].endswith(f"do: cymba db grant {ROLE}")
    erasing = (
        "SET LOCAL cymba.erasing = 'on'",
        "UPDATE audit_entry SET detail = '{}'",
        "DELETE FROM audit_entry",
        "DELETE FROM account",
    )
    with psycopg.connect(as_role(engine)) as connection:
        for statement in erasing:
            connection.execute(statement)
        connection.rollback()
        connection.execute(ERASE, (logged, b"x" * 32))  # and the new one's do
        connection.rollback()
    assert cymba("db", "grant", ROLE, settings=settings).returncode == 0
    for statement in erasing[1:]:
        refused(engine, statement, erasing[0])


def test_the_role_reads_and_writes_every_table(service: Engine) -> None:
    with service.connect() as connection:
        for table in metadata.sorted_tables:
            for right in ("SELECT", "INSERT"):
                query = text("SELECT has_any_column_privilege(:table, :right)")
                values = {"table": table.name, "right": right}
                if values == {"table": "account_id_used", "right": "INSERT"}:
                    continue  # a trigger's alone
                assert connection.scalar(query, values), values


def test_erasure_and_retention_work_as_the_role(
    engine: Engine, service: Engine, logged: str
) -> None:
    rule = next(rule for rule in RULES if rule.name == "audit")
    settings = Settings(retention_audit_days=30)
    with engine.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO audit_entry (account_id, at, actor_kind, actor_id, action, detail)
            VALUES (:id, now() - interval '31 days', 'system', '', 'old', '{}')"""),
            {"id": logged},
        )
    with UnitOfWork(service) as session, session.begin():
        assert remove_some(session, rule, settings, now=utc_now()) == 1
    with UnitOfWork(service) as session, session.begin():
        viewer = register(session, email="dr@example.org", password="correct horse battery")
        note(session, viewer.id, Actor("person", str(viewer.id)), "shares.read", clinician=logged)
    # Citus lets one user alone change what lies by account in the transaction: the functions'.
    by_account = ", ".join(name for name, place in PLACES.items() if place.group == "account")
    with engine.begin() as connection:
        connection.execute(text(f"REVOKE INSERT, UPDATE, DELETE ON {by_account} FROM {ROLE}"))
    with UnitOfWork(service) as session, session.begin():
        erased = erase(session, KEYS, UUID(logged), now=utc_now())
        assert erased.rows["audit_entry"] == 1
    with service.connect() as connection:
        left = connection.execute(text("SELECT detail ->> 'clinician' FROM audit_entry"))
        assert left.scalars().all() == ["erased"]


def test_tables_of_later_migrations_are_the_roles_too(granted: Engine) -> None:
    with granted.begin() as connection:
        connection.execute(text("CREATE TABLE later (id int GENERATED ALWAYS AS IDENTITY, x int)"))
    with psycopg.connect(as_role(granted)) as connection:
        connection.execute("INSERT INTO later (x) VALUES (1)")
        connection.execute("UPDATE later SET x = 2")
        assert connection.execute("SELECT x FROM later").fetchall() == [(2,)]
        connection.execute("DELETE FROM later")


def test_rights_that_somebody_added_by_hand_go(granted: Engine) -> None:
    with granted.begin() as connection:
        connection.execute(text(f"GRANT ALL ON audit_entry TO {ROLE}"))
        connection.execute(text(f"GRANT CREATE ON SCHEMA public TO {ROLE}"))
    assert grants.grant(granted, ROLE) == grants.Granted(created=False)
    refused(granted, "TRUNCATE audit_entry")
    refused(granted, "CREATE TABLE stray (id int)")


def test_a_role_that_can_do_more_is_refused(engine: Engine) -> None:
    mighty, member = (f"r{uuid4().hex}" for _ in range(2))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {mighty} LOGIN SUPERUSER"))
        connection.execute(text(f"CREATE ROLE {member} LOGIN IN ROLE {mighty}"))
        connection.execute(text(f"ALTER TABLE account OWNER TO {mighty}"))
    assert isinstance(grants.grant(engine, mighty), grants.Unfit)
    assert isinstance(grants.grant(engine, member), grants.Unfit)
    owner = engine.url.username
    assert owner is not None
    assert isinstance(grants.grant(engine, owner), grants.Unfit)


def test_an_owner_who_is_no_superuser_migrates_and_grants(engine: Engine) -> None:
    """As with a database that somebody else runs."""
    owner, role, database = (f"n{uuid4().hex}" for _ in range(3))
    admin = make_engine(engine.url.render_as_string(False), isolation_level="AUTOCOMMIT")
    own = make_engine(
        engine.url.set(drivername="postgresql", username=owner, database=database).render_as_string(
            False
        )
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {owner} LOGIN CREATEROLE"))
        connection.execute(text(f"CREATE DATABASE {database} OWNER {owner}"))
        try:
            assert isinstance(schema.upgrade(own), schema.Upgraded)
            assert grants.grant(own, role) == grants.Granted(created=True)
            refused(own, "DELETE FROM audit_entry", role=role)
            service = make_engine(as_role(own, role))
            with UnitOfWork(service) as session, session.begin():
                ana = register(session, email="ana@example.org", password="correct horse battery")
                note(session, ana.id, Actor("person", str(ana.id)), "sessions.read")
                session.flush()
                assert erase(session, KEYS, ana.id, now=utc_now()).rows["audit_entry"] == 1
            service.dispose()
        finally:
            own.dispose()
            connection.execute(text(f"DROP DATABASE {database} WITH (FORCE)"))
    admin.dispose()


def test_nothing_is_granted_before_the_schema_is_there(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    assert isinstance(grants.grant(engine, ROLE), grants.OtherSchema)


def test_the_command_makes_the_role_with_its_password(engine, settings, cymba) -> None:
    role = f"Role of {uuid4().hex}"  # a name that must be quoted
    secret = {"SERVICE_DATABASE_PASSWORD": 'it\'s "secret"'}
    made = cymba("db", "grant", role, settings=settings, environ=secret)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{role}: made, and given the services' rights\n"
    with engine.connect() as connection:
        stored = text("SELECT rolpassword FROM pg_authid WHERE rolname = :role")
        assert connection.scalar(stored, {"role": role}).startswith("SCRAM-SHA-256$")
    again = cymba("db", "upgrade", "--grant", role, settings=settings)
    assert again.stdout.splitlines() == [
        f"{schema.current(engine)}: nothing to do",
        f"{role}: given the services' rights",
    ]
    wrong = cymba("db", "grant", str(engine.url.username), settings=settings)
    assert wrong.returncode == 1
    assert "superuser" in wrong.stderr
    as_service = {"DATABASE_URL": as_role(engine, role)}
    denied = cymba("db", "grant", f"r{uuid4().hex}", settings=as_service)
    assert denied.returncode == 1
    assert "permission denied" in denied.stderr


def test_what_others_put_into_the_schema_is_left_to_them(engine: Engine) -> None:
    """pg_stat_statements and its like lie in `public` often, and are not the owner's to grant."""
    password = "of the owner"
    with engine.begin() as connection:
        connection.execute(text("CREATE VIEW statements AS SELECT 1 AS calls"))
        connection.execute(text("CREATE TABLE spatial (id integer)"))
        connection.execute(text("CREATE SEQUENCE counted"))
        connection.execute(
            text("CREATE FUNCTION reset() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
        )
        owner = f"owner_{uuid4().hex}"
        connection.execute(text(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD '{password}'"))
        ours = (
            *(("TABLE", name) for name in [*metadata.tables, "alembic_version"]),
            *(("FUNCTION", name) for name in grants.FUNCTIONS.split("), ")),
        )
        for kind, name in ours:
            whole = f"{name})" if kind == "FUNCTION" and not name.endswith(")") else name
            connection.execute(text(f"ALTER {kind} {whole} OWNER TO {owner}"))
        connection.execute(text(f"ALTER SCHEMA public OWNER TO {owner}"))
        database = engine.url.database
        connection.execute(text(f"ALTER DATABASE {database} OWNER TO {owner}"))
    role = f"service_{uuid4().hex}"
    owning = make_engine(as_role(engine, owner))
    try:
        assert grants.grant(owning, role) == grants.Granted(created=True)
        assert grants.grant(owning, role) == grants.Granted(created=False)
    finally:
        owning.dispose()
    with psycopg.connect(as_role(engine, role)) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (0,)
    refused(engine, "SELECT * FROM spatial", role=role)


def test_the_role_that_an_upgrade_makes_gets_its_password(engine: Engine) -> None:
    """The environment alone says it, as in the compose file; its SCRAM verifier is stored."""
    role = f"service_{uuid4().hex}"
    run = CliRunner().invoke(
        cli.main,
        ["db", "upgrade", "--grant", role],
        env={
            "CYMBA_DATABASE_URL": engine.url.set(drivername="postgresql").render_as_string(False),
            "SERVICE_DATABASE_PASSWORD": "from the environment",
        },
    )
    assert run.exit_code == 0, run.output
    with engine.connect() as connection:
        stored = connection.scalar(
            text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": role}
        )
    assert stored.startswith("SCRAM-SHA-256$")
