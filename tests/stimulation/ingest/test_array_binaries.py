"""Arrays are written as PostgreSQL reads them: few items and many, one by one and in runs."""

import struct
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.ingest import array_binaries
from cymba.stimulation.ingest.array_binaries import Field, runs_of_integers

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)


NOTHING = b"\xff" * 8
FIELDS = [
    Field("short", 1, array_binaries.SMALL_INTEGER),
    Field("long", 4, array_binaries.BIG_INTEGER),
    Field("id", 16, array_binaries.UUID),
    Field("perhaps", 8, array_binaries.BIG_INTEGER, NOTHING),
    Field("bytes", 3, array_binaries.BYTES),
]


@pytest.mark.parametrize("count", [0, 1, 16, 17, 40])
@pytest.mark.parametrize("are_null", ["none", "some", "all"])
def test_postgresql_reads_each_field_of_packed_rows(
    session: Session, count: int, are_null: str
) -> None:
    def is_null(number: int) -> bool:
        return are_null == "all" or (are_null == "some" and number % 3 == 1)

    values = [
        (
            255 - number,
            2**32 - 1 - number,
            UUID(int=2**128 - 1 - number),
            None if is_null(number) else 2**53 - number,
            bytes((number, 0, 255)),
        )
        for number in range(count)
    ]
    rows = [
        struct.pack(">BI16s", short, long, sid.bytes)
        + (NOTHING if perhaps is None else struct.pack(">q", perhaps))
        + some
        for short, long, sid, perhaps, some in values
    ]
    columns = array_binaries.columns_of_rows(rows, FIELDS)
    read = session.execute(
        text(
            """
            SELECT * FROM unnest(
              CAST(:short AS smallint[]), CAST(:long AS bigint[]), CAST(:id AS uuid[]),
              CAST(:perhaps AS bigint[]), CAST(:bytes AS bytea[]))
            """
        ),
        columns,
    )
    assert [tuple(row) for row in read] == values


@pytest.mark.parametrize("sizes", [[31], [33], [32, 31]])
def test_rows_of_another_size_are_refused(sizes: list[int]) -> None:
    with pytest.raises(OverflowError, match="32 bytes"):
        array_binaries.columns_of_rows([bytes(size) for size in sizes], FIELDS)


@pytest.mark.parametrize("count", [1, 40])
def test_a_number_that_does_not_fit_is_refused(count: int) -> None:
    with pytest.raises(OverflowError):
        runs_of_integers([2**31] * count, [1] * count)
    assert len(runs_of_integers([2**31 - 1] * count, [1] * count)) == 20 + count * 8


@pytest.mark.parametrize(
    ("kind", "type_", "values"),
    [
        ("integers", "integer", [1, -(2**31)]),
        ("texts", "text", ["ear-00001", "Ohr-ü"]),
    ],
)
def test_postgresql_reads_each_value_as_often_as_it_was_said(
    session: Session, kind: str, type_: str, values: list[Any]
) -> None:
    runs = getattr(array_binaries, f"runs_of_{kind}")
    read = session.scalar(
        text(f"SELECT CAST(:array AS {type_}[])"), {"array": runs(values, [1, 3])}
    )
    assert read == [values[0], *[values[1]] * 3]


def test_postgresql_reads_each_time(session: Session) -> None:
    times = [NOON, datetime(1999, 1, 1, tzinfo=UTC), NOON]
    written = {"array": array_binaries.times(times)}
    assert session.scalar(text("SELECT CAST(:array AS timestamptz[])"), written) == times
