"""The rights of the role under which the services run: rows, and nothing of the schema.

The role that owns the tables can drop the audit log's guard, so only migrations use it. The
services' role reads the log and adds to it. Erasure and retention go through functions that run
with the owner's rights (`cymba.accounts.audit_guard`, `audit_months`).

Where the tables are laid on several nodes of Citus, the role may name every column of an entry, and
a trigger sees to those that are the database's.
"""

from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Engine

import migrations
from cymba.accounts import audit_guard, audit_months
from cymba.database import SESSION
from ops.schema import current, migrating

ROWS = "SELECT, INSERT, UPDATE, DELETE"
# Tables on which the services' role has fewer rights.
LESS = {
    "account": "SELECT, INSERT, UPDATE",  # deleting one would delete its log
    "account_id_used": "SELECT",
    "alembic_version": "SELECT",
    # Not its id and time, which are the database's.
    "audit_entry": "SELECT, INSERT (account_id, actor_kind, actor_id, action, detail, claimed_at)",
    "erasure_ledger": "SELECT, INSERT",
}
FUNCTIONS = ", ".join(
    ("lock_account(uuid)", "erase_account(uuid, bytea, jsonb)", *audit_months.FUNCTIONS)
)


@dataclass(frozen=True)
class Granted:
    created: bool  # the role was not there before


@dataclass(frozen=True)
class OtherSchema:
    """The database is not at this version's schema, whose tables `LESS` names."""


@dataclass(frozen=True)
class Unfit:
    """The role has rights that a grant cannot limit. Nothing was changed."""

    why: str


def grant(
    engine: Engine,
    role: str,
    *,
    taking: bool = True,
    password: str | None = None,
    wait_s: float = 600,
) -> Granted | OtherSchema | Unfit:
    """Give `role` exactly the services' rights, on the tables of later migrations too.

    The role is created if it does not exist. Safe to repeat, also while services use the role.
    Without `taking` nothing is revoked, for services of the version before that run during an
    upgrade. `engine` connects as the owner of the tables, who must be able to create roles if the
    role does not exist. A `password` is set by its SCRAM verifier, so that no log shows it.

    Raises:
        TimeoutError: others held the migrations' lock for `wait_s`.
    """
    if current(engine) != migrations.head():
        return OtherSchema()
    with migrating(engine, wait_s) as locked:
        if locked is None:
            raise TimeoutError("another process is migrating")
        made = locked.connection.driver_connection
        assert made is not None  # noqa: S101 - connected in the line before
        name = sql.Identifier(role)
        with made.transaction():
            row = made.execute(_STANDING, {"role": role}).fetchone()
            if row is None:
                made.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            elif row[0]:
                return Unfit(row[0])
            if password is not None:
                verifier = made.pgconn.encrypt_password(
                    password.encode(), role.encode(), b"scram-sha-256"
                )
                made.execute(
                    sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, verifier.decode())
                )
            for setting, value in SESSION.items():  # PgBouncer passes none on at connecting
                made.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        name, sql.Identifier(setting), value
                    )
                )
            # Else Citus grants on a table's parts side by side, and then on no other table.
            made.execute("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
            names = {"role": name, "database": sql.Identifier(made.info.dbname)}
            for statement in [*_TAKEN, *_GIVEN] if taking else _GIVEN:
                made.execute(sql.SQL(statement).format(**names))
            enters_now = made.execute(_ENTERS_NOW, (audit_guard.ENTERED_NOW,)).fetchone()
            less = LESS | ({"audit_entry": "SELECT, INSERT"} if enters_now else {})
            for kind, plain, quoted in made.execute(_OURS).fetchall():
                thing = {"kind": sql.SQL(kind), "thing": sql.SQL(quoted), "role": name}
                if taking:
                    made.execute(_TAKE.format(**thing))
                if kind == "TABLE":
                    rights = sql.SQL(less.get(plain, ROWS))
                elif kind == "SEQUENCE":
                    rights = sql.SQL("USAGE")
                else:
                    continue
                made.execute(_GIVE.format(rights=rights, **thing))
            made.execute(
                sql.SQL(f"GRANT EXECUTE ON FUNCTION {FUNCTIONS} TO {{role}}").format(role=name)
            )
    return Granted(created=row is None)


_TAKEN = (
    "REVOKE ALL ON SCHEMA public FROM {role}",
    "REVOKE ALL ON DATABASE {database} FROM {role}",
)
_GIVEN = (
    # What everybody may do in a new database by default.
    "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    "REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA public TO {role}",
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {ROWS} ON TABLES TO {{role}}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {role}",
)
_TAKE = sql.SQL("REVOKE ALL ON {kind} {thing} FROM {role}")
_GIVE = sql.SQL("GRANT {rights} ON {kind} {thing} TO {role}")
# Our tables, sequences and functions in `public`. Those of extensions (pg_stat_statements, PostGIS)
# and of other owners are left alone.
_OURS = """
    SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname::text,
           c.oid::regclass::text
    FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'S')
      AND pg_has_role(c.relowner, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    UNION ALL
    SELECT 'ROUTINE', p.proname::text, p.oid::regprocedure::text
    FROM pg_proc AS p
    WHERE p.pronamespace = 'public'::regnamespace AND pg_has_role(p.proowner, 'USAGE')
      AND NOT EXISTS (
        SELECT FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""
_ENTERS_NOW = """
    SELECT true FROM pg_trigger
    WHERE tgrelid = 'audit_entry'::regclass AND tgname = %s AND tgenabled IN ('O', 'A')
"""
# NULL if the role is fit, else why it is not. No row if there is no such role.
_STANDING = """
    SELECT CASE
      WHEN r.rolsuper THEN 'it is a superuser'
      WHEN r.rolcreaterole THEN 'it may make roles'
      WHEN r.rolbypassrls OR r.rolreplication THEN 'it may read past every right'
      WHEN EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace
          AND pg_has_role(r.oid, c.relowner, 'MEMBER'))
        OR EXISTS (
        SELECT FROM pg_database AS d
        WHERE d.datname = current_database() AND pg_has_role(r.oid, d.datdba, 'MEMBER'))
      THEN 'it owns tables or the database, or belongs to who does'
    END
    FROM pg_roles AS r WHERE r.rolname = %(role)s
"""
