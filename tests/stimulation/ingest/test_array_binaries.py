"""Arrays are written as PostgreSQL reads them: few items and many, one by one and in runs."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from cymba.stimulation.ingest import array_binaries
from cymba.stimulation.ingest.array_binaries import (
    big_integers,
    byte_strings_of_one_size,
    runs_of_integers,
    small_integers,
)

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40))
def test_an_array_of_numbers(values: list[int]) -> None:
    written = big_integers(values)
    assert written[:20] == struct.pack(">iiIii", 1, 0, 20, len(values), 1)
    assert [struct.unpack_from(">iq", written, at) for at in range(20, len(written), 12)] == [
        (8, value) for value in values
    ]


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize(
    ("array", "bits"),
    [
        (small_integers, 16),
        (lambda values: runs_of_integers(values, [1] * len(values)), 32),
        (big_integers, 64),
    ],
)
def test_a_number_that_does_not_fit_is_refused(
    array: Callable[[list[int]], bytes], bits: int, count: int
) -> None:
    with pytest.raises(OverflowError):
        array([2 ** (bits - 1)] * count)
    assert len(array([2 ** (bits - 1) - 1] * count)) == 20 + count * (4 + bits // 8)


@pytest.mark.parametrize(
    ("kind", "type_", "values"),
    [
        ("integers", "integer", [1, -(2**31)]),
        ("big_integers", "bigint", [2**63 - 1, -1]),
        ("texts", "text", ["ear-00001", "Ohr-ü"]),
        ("uuids", "uuid", [UUID(int=1), UUID(int=2**128 - 1)]),
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


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=3, max_size=3), max_size=5))
def test_strings_of_one_size_are_written_as_any(values: list[bytes]) -> None:
    assert byte_strings_of_one_size(values, 3) == array_binaries.byte_strings(values)


@pytest.mark.parametrize("values", [[b"ab"], [b"abc", b"abcd"]])
def test_a_string_of_another_size_is_refused(values: list[bytes]) -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        byte_strings_of_one_size(values, 3)
