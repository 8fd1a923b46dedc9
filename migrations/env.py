"""How alembic meets the database: on a connection that `ops.schema` has opened and locked.

Offline (`as_sql`) it renders the statements instead, which is what the SQL linter reads.
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection

from cymba.tables import metadata


def render_item(kind: str, item: object, _autogen_context: object) -> str | bool:
    """Write our own types as what they are in the database: a migration imports nothing of ours."""
    if kind == "type" and type(item).__module__ == "cymba.database":
        return "sa.DateTime(timezone=True)"
    return False


options: dict[str, Any] = {
    "target_metadata": metadata,
    "transaction_per_migration": True,
    "compare_type": True,
    "compare_server_default": True,
    "render_item": render_item,
}

if context.is_offline_mode():
    context.configure(
        **options,
        dialect_name="postgresql",
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    connection: Connection = context.config.attributes["connection"]
    context.configure(
        **options,
        connection=connection,
        on_version_apply=context.config.attributes.get("on_version_apply", ()),
    )
    with context.begin_transaction():
        context.run_migrations()
