"""Where each table lies once one PostgreSQL is not enough (docs/scaling.md).

What is a person's lies by account, what is a device's by device: all of one account is together,
and so is all of one device. A small table is whole on every node. A directory lies by what it is
asked for, a hash or a name. A key holds across nodes only if it names what its table lies by, so
`placed` adds that where it is missing, and leaves out references from one place into another.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)


@dataclass(frozen=True, slots=True)
class TablePlace:
    """`column`: what the rows lie by; None: all rows are on every node. Tables of one `group` lie
    together where their columns are equal."""

    column: str | None
    group: str | None = None


def _by(column: str, group: str, *names: str) -> dict[str, TablePlace]:
    return dict.fromkeys(names, TablePlace(column, group))


PLACES: Final[dict[str, TablePlace]] = {
    **_by("id", "account", "account"),
    **_by(
        "account_id",
        "account",
        *("audit_entry", "change", "consent", "data_import", "diary_entry", "experiment"),
        *("finding", "imported_reading", "insight_state", "kept_answer"),
        *("red_flag", "refresh_token", "remark", "reminder", "screening", "sync_horizon"),
        *("sync_operation", "written_session"),
    ),
    **_by(
        "device_id",
        "device",
        *("cell_move", "clock_anchor", "device_presence", "device_programme"),
        "device_suspension",
        *("flash_store", "frame", "quarantine", "recording", "refused_programme"),
        *("retained_withdrawal", "retiming", "session_extent", "stimulation_session"),
        "unknown_version",
    ),
    # One row each, found by its own key, and of no use together with another.
    **_by("import_id", "import", "import_piece"),
    **_by("session_id", "session", "session_sums"),
    **_by("id_sha256", "id_sha256", "account_id_used"),
    # The tables' owner adds to it, where the services' role changes what is whole on every node.
    **_by("pseudonym", "pseudonym", "erasure_ledger"),
    # It grows with the people, so it is not whole on every node, and is asked for one address.
    **_by("address", "address", "account_address"),
    # Small: what operators set, who holds what, and what is found by a secret that names nobody.
    **dict.fromkeys(
        (
            # That its serial is of no other is known everywhere.
            "device",
            *("alembic_version", "app_client", "cell", "device_model", "restoration", "sync_epoch"),
            "erasure_receipt",
            *("device_tenure", "share", "share_holder", "app_grant", "provider_identity"),
            *("oidc_flow", "single_use_token", "outgoing_mail"),
            "experiment_block",  # some rows of a trial, which lies by account
            # Several are locked at once, of keys that have nothing in common.
            *("rate_limit", "sign_in_bucket", "claim_guesses"),
        ),
        TablePlace(None),
    ),
}


ON_ONE_NODE: Final = {"account_noted_address": "account"}
"""Triggers that are dropped before the laying: they write what lies on another node."""


def placed(metadata: MetaData) -> MetaData:
    """The same tables with the keys that hold across nodes, and no reference that crosses."""
    made = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.tables.values():
        table.to_metadata(made)
    for table in made.tables.values():
        column = PLACES[table.name].column
        if column is not None:
            _add_to_keys(table, column)
    for table in made.tables.values():
        for key in [one for one in table.constraints if isinstance(one, ForeignKeyConstraint)]:
            _place_reference(table, key)
    return made


def _add_to_keys(table: Table, column: str) -> None:
    for key in list(table.constraints):
        if not isinstance(key, (PrimaryKeyConstraint, UniqueConstraint)) or column in key.columns:
            continue
        names = (column, *(one.name for one in key.columns))
        table.constraints.discard(key)
        if isinstance(key, PrimaryKeyConstraint):
            for one in key.columns:
                one.primary_key = False  # until the next line says it anew
        table.append_constraint(type(key)(*names, name=str(key.name)))
    for index in [one for one in table.indexes if one.unique]:
        if all(getattr(one, "name", None) != column for one in index.expressions):
            table.indexes.discard(index)
            options = {f"postgresql_{k}": v for k, v in index.dialect_options["postgresql"].items()}
            Index(index.name, table.c[column], *index.expressions, unique=True, **options)


def _place_reference(table: Table, key: ForeignKeyConstraint) -> None:
    """Keep it if what it refers to is on every node, or always on its own; else leave it out."""
    other = key.elements[0].column.table
    ours, theirs = PLACES[table.name], PLACES[other.name]
    if theirs.column is None:
        return
    pairs = {one.parent.name: one.column.name for one in key.elements}
    together = ours.column is not None and ours.group == theirs.group
    if together and pairs.get(str(ours.column)) == theirs.column:
        return
    table.constraints.discard(key)
    for one in key.elements:
        one.parent.foreign_keys.discard(one)
        table.foreign_keys.discard(one)
