"""Nobody adds a table and forgets the person."""

import pytest
from sqlalchemy import LargeBinary

from cymba.rights.personal_data import BY_NAME, NOT_PERSONAL, PERSONAL_TABLES
from cymba.tables import metadata


def test_every_table_is_of_a_person_or_of_nobody():
    assert BY_NAME.keys() | NOT_PERSONAL.keys() == metadata.tables.keys()
    assert not BY_NAME.keys() & NOT_PERSONAL.keys()
    assert len(BY_NAME) == len(PERSONAL_TABLES)


def test_a_table_that_names_an_account_is_of_a_person():
    for name in NOT_PERSONAL:
        referred = {key.column.table.name for key in metadata.tables[name].foreign_keys}
        assert "account" not in referred


@pytest.mark.parametrize("holding", PERSONAL_TABLES, ids=lambda holding: holding.name)
def test_what_is_left_out_is_there_and_can_be_done_without(holding):
    columns = holding.table.columns
    assert holding.left_out.keys() <= set(columns.keys())
    assert all(holding.left_out.values())
    assert holding.drawn_anew.keys() <= holding.left_out.keys()
    if holding.imported:
        for name in holding.left_out:
            column = columns[name]
            assert column.nullable or column.server_default or name in holding.drawn_anew


def test_no_secret_leaves():
    kept_back = {
        (holding.name, column) for holding in PERSONAL_TABLES for column in holding.left_out
    }
    for name, holding in BY_NAME.items():
        for column in holding.table.columns:
            if "hash" in column.name and isinstance(column.type, LargeBinary):
                assert (name, column.name) in kept_back
            if column.name in {"password_hash", "secret_hash", "token_hash", "claim_code_hash"}:
                assert (name, column.name) in kept_back


def test_an_import_finds_what_its_rows_refer_to():
    """Tables are written in the list's order, so what a row names must come before it."""
    seen = set()
    for holding in (one for one in PERSONAL_TABLES if one.imported):
        for key in holding.table.foreign_keys:
            referred = key.column.table.name
            assert referred in seen or referred == holding.name, (holding.name, referred)
        seen.add(holding.name)
