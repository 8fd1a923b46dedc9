"""Where each table lies on several nodes is said of each, and no key of it reaches further."""

from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint

from cymba.distribution import PLACES, placed
from cymba.rights.personal_data import BY_NAME
from cymba.tables import metadata


def test_every_table_has_a_place() -> None:
    # Alembic's own comes with the migrations.
    assert PLACES.keys() - {"alembic_version"} == metadata.tables.keys()


def test_each_key_holds_where_its_table_lies() -> None:
    for table in placed(metadata).tables.values():
        column = PLACES[table.name].column
        if column is None:
            continue
        keys = [
            {one.name for one in key.columns}
            for key in table.constraints
            if isinstance(key, (PrimaryKeyConstraint, UniqueConstraint))
        ]
        keys += [
            {str(getattr(one, "name", "")) for one in index.expressions}
            for index in table.indexes
            if index.unique
        ]
        assert [key for key in keys if column not in key] == [], table.name


def test_no_reference_crosses_nodes() -> None:
    for table in placed(metadata).tables.values():
        ours = PLACES[table.name]
        for key in table.foreign_key_constraints:
            theirs = PLACES[key.referred_table.name]
            pairs = {one.parent.name: one.column.name for one in key.elements}
            assert theirs.column is None or (
                ours.group == theirs.group and pairs.get(str(ours.column)) == theirs.column
            ), key.name


def test_what_a_reference_would_take_along_is_erased_without_it() -> None:
    """Where a person's row goes, so does what referred to it, though it lies elsewhere."""
    otherwise = {"device_tenure", "device_programme", "session_sums"}  # in `erasure`, by name
    for name, table in placed(metadata).tables.items():
        kept = {key.name for key in table.foreign_key_constraints}
        for key in metadata.tables[name].foreign_key_constraints:
            if key.ondelete is not None and key.name not in kept and name not in otherwise:
                assert BY_NAME[name].erased, key.name


def test_the_tables_of_one_database_stay_as_they_are() -> None:
    before = {table.name: len(table.constraints) for table in metadata.tables.values()}
    placed(metadata)
    assert {table.name: len(table.constraints) for table in metadata.tables.values()} == before
