"""The rights of the role that the services work as: rows, and nothing of the schema.

The role that owns the tables can drop the audit log's guard, so it is for migrations alone. What
the services' role may do with the audit log is what erasure and retention do, and the guard
holds it to that.
"""

from dataclasses import dataclass

from psycopg import sql
from sqlalchemy import Engine

import migrations
from ops.schema import current, migrating

ROWS = "SELECT, INSERT, UPDATE, DELETE"
# Tables on which the services' role may do less.
LESS = {
    "alembic_version": "SELECT",
    # Removed by erasure and retention, and a viewer's name erased in `detail`; never rewritten.
    "audit_entry": "SELECT, INSERT, DELETE, UPDATE (detail)",
    "erasure_ledger": "SELECT, INSERT",
}


@dataclass(frozen=True)
class Granted:
    created: bool  # the role was not there before


@dataclass(frozen=True)
class OtherSchema:
    """The database is not at this version's schema, whose tables `LESS` speaks of."""


@dataclass(frozen=True)
class Unfit:
    """The role can do more than it should whatever is granted; nothing was changed."""

    why: str


def grant(
    engine: Engine, role: str, *, password: str | None = None, wait_s: float = 600
) -> Granted | OtherSchema | Unfit:
    """Give `role` the services' rights on every table, those of later migrations too, and no
    others; make the role where there is none. Safe to repeat, also while services run as it.

    `engine` connects as the owner of the tables, who may make roles if one is to be made. With a
    `password` the role gets it, by its SCRAM verifier, so that it stands in no log.

    Raises:
        TimeoutError: others held the migrations' lock for `wait_s`.
    """
    if current(engine) != migrations.head():
        return OtherSchema()
    with migrating(engine, wait_s) as locked:
        if locked is None:
            raise TimeoutError("another process is migrating")
        made = locked.connection.driver_connection
        assert made is not None  # noqa: S101 - it was connected a line before
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
            for statement in _statements():
                made.execute(
                    sql.SQL(statement).format(role=name, database=sql.Identifier(made.info.dbname))
                )
    return Granted(created=row is None)


def _statements() -> list[str]:
    return [
        # What a first user of a database may otherwise do.
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC",
        "REVOKE ALL ON SCHEMA public FROM {role}",
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
        "REVOKE ALL ON DATABASE {database} FROM {role}",
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT {ROWS} ON ALL TABLES IN SCHEMA public TO {{role}}",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
        *(f"REVOKE ALL ON {table} FROM {{role}}" for table in LESS),
        *(f"GRANT {rights} ON {table} TO {{role}}" for table, rights in LESS.items()),
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {ROWS} ON TABLES TO {{role}}",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {role}",
    ]


# NULL for a role that is fit, else why it is not; no row where there is no such role.
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
