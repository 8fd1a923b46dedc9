"""Laying the tables on several nodes of Citus, and telling whether they still lie as they should.

Each step looks at what is there and does what is missing, so a run that broke off is resumed by the
next. Nobody may write meanwhile: between the steps there are fewer keys than the data needs.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from alembic.script import Script
from sqlalchemy import Connection, Engine, ForeignKeyConstraint, MetaData, Table, text
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

import migrations
from cymba.accounts import audit_guard
from cymba.distribution import ON_ONE_NODE, PLACES, TablePlace, placed
from cymba.tables import metadata
from ops import schema
from ops.schema import SchemaLocked, UnknownRevision, Upgraded, current, migrating


@dataclass(frozen=True)
class Stands:
    """`column`: what the table lies by; None: it is whole on every node. Two tables lie together if
    their `colocation` is the same."""

    column: str | None
    colocation: int


class Nodes(Protocol):
    """What the tables are laid on."""

    def standing(self, connection: Connection) -> dict[str, Stands]:
        """Those tables that are laid already."""

    def place(
        self, connection: Connection, name: str, place: TablePlace, beside: str | None
    ) -> None:
        """Lay a table, together with the table `beside`."""

    def gather(self, connection: Connection, name: str) -> None:
        """Make a table that is laid one of this database alone."""


class Citus:
    def standing(self, connection: Connection) -> dict[str, Stands]:
        rows = connection.execute(_CITUS_TABLES)
        return {
            name: Stands(None if kind == "reference" else column, colocation)
            for name, kind, column, colocation in rows
            if kind in {"reference", "distributed"}
        }

    def place(
        self, connection: Connection, name: str, place: TablePlace, beside: str | None
    ) -> None:
        connection.execute(text(_UNSAFE_TRIGGERS))
        if place.column is None:
            connection.execute(text("SELECT create_reference_table(:name)"), {"name": name})
        else:
            given = {"name": name, "column": place.column, "beside": beside or "none"}
            connection.execute(_DISTRIBUTE, given)

    def gather(self, connection: Connection, name: str) -> None:
        connection.execute(text("SELECT undistribute_table(:name)"), {"name": name})


# The audit log's guards look at nothing but the log of the row's own account.
_UNSAFE_TRIGGERS = "SET LOCAL citus.enable_unsafe_triggers = on"
_CITUS_TABLES = text("""
    SELECT table_name::text, citus_table_type, distribution_column, colocation_id
    FROM citus_tables
""")
_DISTRIBUTE = text("SELECT create_distributed_table(:name, :column, colocate_with => :beside)")


def nodes_of(engine: Engine) -> Nodes | None:
    """None where the database has no Citus."""
    with engine.connect() as connection:
        has = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")
        return Citus() if connection.scalar(has) else None


def is_distributed(engine: Engine, nodes: Nodes) -> bool:
    with engine.connect() as connection:
        return bool(nodes.standing(connection))


class OtherSchemaError(RuntimeError):
    """The database is not at this version's schema, whose places are known."""


def distribute(
    engine: Engine, nodes: Nodes, *, on_step: Callable[[str], None] = lambda _: None
) -> None:
    """Lay every table where it belongs, with the keys that hold across nodes.

    Raises:
        OtherSchemaError: migrate first.
        TimeoutError: another process holds the migrations' lock.
    """
    if current(engine) != migrations.head():
        raise OtherSchemaError("the database is not at this version's schema")
    wanted = placed(metadata)
    with migrating(engine, 60) as connection:
        if connection is None:
            raise TimeoutError("another process is migrating")
        for what, step in _steps(connection, nodes, wanted):
            step()
            connection.commit()
            on_step(what)


def upgrade(
    engine: Engine,
    nodes: Nodes,
    *,
    wait_s: float,
    on_step: Callable[[Script], None] = lambda _: None,
) -> Upgraded | SchemaLocked | UnknownRevision:
    """`schema.upgrade` of tables that are laid, and then what it made is laid as well."""
    outcome = schema.upgrade(engine, wait_s=wait_s, on_step=on_step, is_laid=True)
    if isinstance(outcome, Upgraded):
        distribute(engine, nodes)
    return outcome


def faults(engine: Engine, nodes: Nodes) -> list[str]:
    """What does not lie as it should, or has a key that does not hold across nodes."""
    with engine.connect() as connection:
        return faults_seen(connection, nodes)


def faults_seen(connection: Connection, nodes: Nodes) -> list[str]:
    wanted, stands = placed(metadata), nodes.standing(connection)
    found = [fault for name in PLACES for fault in _faults(name, stands)]
    for table, key in _keys(connection, wanted):
        found.append(f"{table.name}: {key} does not hold across nodes")
    found += [f"{ON_ONE_NODE[name]}: {name} writes to other nodes" for name in _alone(connection)]
    if not _triggers(connection, audit_guard.ENTERED_NOW):
        found.append(f"audit_entry: {audit_guard.ENTERED_NOW} is wanting")
    for table in wanted.sorted_tables:
        have, want = set(_references(connection, table)), _wanted_references(table)
        found += [f"{table.name}: {name} crosses nodes" for name in sorted(have - set(want))]
        found += [f"{table.name}: {name} is wanting" for name in sorted(set(want) - have)]
    return found


def _steps(
    connection: Connection, nodes: Nodes, wanted: MetaData
) -> Iterator[tuple[str, Callable[[], object]]]:
    tables = wanted.sorted_tables
    for name in _alone(connection):
        order = text(f"DROP TRIGGER {name} ON {ON_ONE_NODE[name]}")
        yield f"{ON_ONE_NODE[name]}: without {name}", partial(connection.execute, order)
    # Without the months of the log, which lie as it does.
    found = {name: one for name, one in nodes.standing(connection).items() if name in PLACES}
    stands = {name: one for name, one in found.items() if one.column == PLACES[name].column}
    for table in tables:
        for name, other in sorted(_references(connection, table).items()):
            # A table that refers to another cannot be laid before or after it.
            if not {table.name, other} <= stands.keys():
                yield f"{table.name}: without {name}", partial(_drop, connection, table, name)
    for name in found.keys() - stands.keys():  # an earlier version laid it by something else
        yield f"{name}: gathered", partial(nodes.gather, connection, name)
    for table, name in _keys(connection, wanted):
        yield f"{table.name}: {name}", partial(_renew_key, connection, table, name)
    laid = {place.group: name for name, place in PLACES.items() if name in stands}
    for name, place in PLACES.items():
        if name not in stands:
            beside = laid.setdefault(place.group, name)
            others = None if place.group is None or beside == name else beside
            yield f"{name}: laid", partial(nodes.place, connection, name, place, others)
    if not _triggers(connection, audit_guard.ENTERED_NOW):
        yield f"audit_entry: {audit_guard.ENTERED_NOW}", partial(_enter_now, connection)
    for table in tables:
        have = _references(connection, table)
        for name, key in _wanted_references(table).items():
            if name not in have:
                yield f"{table.name}: {name}", partial(connection.execute, AddConstraint(key))


# Without those that a partition has of its table.
_TRIGGERS = text("""
    SELECT tgname FROM pg_trigger WHERE tgname = ANY (:names) AND tgparentid = 0 ORDER BY 1
""")


def _triggers(connection: Connection, *names: str) -> list[str]:
    return list(connection.scalars(_TRIGGERS, {"names": list(names)}))


def _alone(connection: Connection) -> list[str]:
    return _triggers(connection, *ON_ONE_NODE)


def _enter_now(connection: Connection) -> None:
    for statement in (_UNSAFE_TRIGGERS, *audit_guard.ENTER_NOW):
        connection.execute(text(statement))


def _faults(name: str, stands: dict[str, Stands]) -> Iterator[str]:
    place, stand = PLACES[name], stands.get(name)
    if stand is None:
        yield f"{name}: lies on one node"
    elif stand.column != place.column:
        yield f"{name}: lies by {stand.column}, and not by {place.column}"
    else:
        first = next(one for one, other in PLACES.items() if other.group == place.group)
        if first in stands and stands[first].colocation != stand.colocation:
            yield f"{name}: does not lie with {first}"


_KEYS = text("""
    SELECT c.relname, ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                            WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) AS columns
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(:name) AND i.indisunique
""")


def _keys(connection: Connection, wanted: MetaData) -> Iterator[tuple[Table, str]]:
    """The keys that are there without what their table lies by, or not at all."""
    for table in wanted.sorted_tables:
        column = PLACES[table.name].column
        if column is None:
            continue
        # Of each key there is an index, which an expression is no column of.
        have = {one.relname: one.columns for one in connection.execute(_KEYS, {"name": table.name})}
        names = [table.primary_key.name, *(one.name for one in table.indexes if one.unique)]
        names += [one.name for one in table.constraints if one.__visit_name__.startswith("unique")]
        for name in map(str, names):
            if column not in have.get(name, ()):
                yield table, name


def _renew_key(connection: Connection, table: Table, name: str) -> None:
    for index in table.indexes:
        if index.name == name:
            connection.execute(DropIndex(index, if_exists=True))
            connection.execute(CreateIndex(index))
            return
    (key,) = (one for one in table.constraints if one.name == name)
    connection.execute(DropConstraint(key, if_exists=True))
    connection.execute(AddConstraint(key))


# Without those that a partition has of its table.
_REFERENCES = text("""
    SELECT conname, confrelid::regclass::text AS other FROM pg_constraint
    WHERE conrelid = to_regclass(:name) AND contype = 'f' AND conparentid = 0
""")


def _references(connection: Connection, table: Table) -> dict[str, str]:
    """The names of those that are there, with the tables that they refer to."""
    rows = connection.execute(_REFERENCES, {"name": table.name})
    return {row.conname: row.other for row in rows}


def _wanted_references(table: Table) -> dict[str, ForeignKeyConstraint]:
    return {str(one.name): one for one in table.foreign_key_constraints}


def _drop(connection: Connection, table: Table, name: str) -> None:
    quote = connection.dialect.identifier_preparer.quote
    connection.execute(
        text(f"ALTER TABLE {quote(table.name)} DROP CONSTRAINT IF EXISTS {quote(name)}")
    )
