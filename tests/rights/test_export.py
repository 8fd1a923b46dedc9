"""A large account leaves in small pieces, through bounded memory."""

import codecs
import io
import json
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from cymba.accounts.tables import Account
from cymba.database import UnitOfWork
from cymba.diary.tables import DiaryEntry
from cymba.rights.archive import PIECE_BYTES
from cymba.rights.export import export
from cymba.rights.readable import line

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENTRIES = 4_000
NOTE_CHARACTERS = 3_000  # of random hexadecimal: it shrinks to a half at most


@pytest.fixture
def account_id(engine):
    return account_with(engine, ENTRIES)


def account_with(engine, entries):
    with UnitOfWork(engine) as session, session.begin():
        account = Account(email="ada@example.org")
        session.add(account)
        session.flush()
        common = {
            "account_id": account.id,
            "written_at": NOW,
            "time_zone": "UTC",
            "items": {"pain_now": 3},
            "version": 1,
            "field_versions": {},
        }
        for at in range(0, entries, 500):
            rows = [
                common
                | {
                    "id": uuid4(),
                    "felt_at": NOW - timedelta(hours=at + i),
                    "note": "".join(uuid4().hex for _ in range(NOTE_CHARACTERS // 32)),
                }
                for i in range(min(500, entries - at))
            ]
            session.execute(insert(DiaryEntry), rows)
        return account.id


def test_neither_memory_nor_pieces_grow_with_the_account(engine, account_id):
    total = largest = 0
    tracemalloc.start()
    with UnitOfWork(engine) as session:
        for piece in export(session, account_id, schema_version="1", now=NOW):
            total += len(piece)
            largest = max(largest, len(piece))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 10 * 2**20  # twice the notes, packed
    assert largest < 4 * PIECE_BYTES
    # A page of rows as the driver and the ORM hold them, and what the archive has in hand.
    assert peak < 8 * 2**20


def test_nothing_is_lost_between_the_pages(engine, account_id):
    with UnitOfWork(engine) as session:
        body = b"".join(export(session, account_id, schema_version="1", now=NOW))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        rows = archive.read("tables/diary_entry.jsonl").splitlines()
        sheet = archive.read("diary.csv").splitlines()
    assert len({json.loads(row)["id"] for row in rows}) == ENTRIES
    assert len(sheet) == 1 + 2 * ENTRIES  # an item and a note each


def test_a_spreadsheet_sees_that_every_sheet_is_utf8(engine):
    account_id = account_with(engine, 1)
    with UnitOfWork(engine) as session:
        body = b"".join(export(session, account_id, schema_version="1", now=NOW))
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        sheets = [name for name in archive.namelist() if name.endswith(".csv")]
        assert sheets
        for name in sheets:
            assert archive.read(name).startswith(codecs.BOM_UTF8), name


def test_it_is_all_of_one_moment(engine, account_id):
    """What is written while the archive leaves is not in it, in no table."""
    with UnitOfWork(engine) as session:
        pieces = export(session, account_id, schema_version="1", now=NOW)
        first = next(pieces)
        with UnitOfWork(engine) as other, other.begin():
            other.query(DiaryEntry).delete()
            other.get_one(Account, account_id).name = "changed"
        body = first + b"".join(pieces)
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.read("tables/diary_entry.jsonl").count(b"\n") == ENTRIES
        assert b"changed" not in archive.read("tables/account.jsonl")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        ("\tx", "'\tx"),
        ("a;=1+1", "a;'=1+1"),
        ("a; =1+1", "a;' =1+1"),
        ('a|b;"@x', '"a|b;\'""@x"'),
        ("a\n-1", '"a\n\'-1"'),
        ("a\r\n+1", '"a\r\n\'+1"'),
        ("\uff1d1", "'\uff1d1"),
        ("a=b-c", "a=b-c"),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        (-1, "-1"),
        (None, ""),
        (True, "yes"),
        ("ünï", "ünï"),
    ],
)
def test_a_cell_is_a_text_and_no_formula(cell, written):
    assert line([cell, 1]).decode() == f"{written},1\r\n"
