"""Arrow on the wire is smaller than the JSON of the same, and loses nothing for it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pytest
from flask import Flask

from cymba.stimulation.session.arrow import as_small_table, as_table
from cymba.stimulation.session.telemetry import ChannelSeries, Telemetry
from service.resources.telemetry import _as_arrow, _as_json

STARTED_AT = datetime(2026, 3, 1, 18, 0, 0, 120_000, tzinfo=UTC)
COUNT = 1_800


def telemetry(*values: Iterable[float], step_ms: int = 1_000) -> Telemetry:
    offset_ms = np.arange(COUNT, dtype=np.int64) * step_ms
    return Telemetry(
        STARTED_AT,
        tuple(
            ChannelSeries(
                f"channel_{n}", "", "uA", "mA", 1_000, offset_ms, np.resize(list(one), COUNT)
            )
            for n, one in enumerate(values)
        ),
    )


def rows(table) -> list[tuple[object, ...]]:
    names = ("channel", "unit", "offset_ms", "value")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


@pytest.mark.parametrize(
    ("values", "step_ms", "offsets", "readings"),
    [
        ((500.0, np.nan, 2_000.0), 1_000, "int32", "float"),
        ((2.0**24 + 1, 7.0), 1_000, "int32", "double"),  # what single precision does not have
        ((1e300, 7.0), 1_000, "int32", "double"),
        ((33.1, 7.0), 1_000, "int32", "double"),
        ((500.0,), 86_400_000, "int64", "float"),  # nearly five years
    ],
)
def test_a_column_is_as_wide_as_its_values_need(values, step_ms, offsets, readings):
    told = telemetry(values, step_ms=step_ms)
    small = as_small_table(told)
    assert rows(small) == rows(as_table(told))
    assert [str(small.schema.field(name).type) for name in ("offset_ms", "value")] == [
        offsets,
        readings,
    ]


def test_more_channels_than_a_small_index_names():
    told = telemetry(*([1.0, 2.0],) * 200)
    assert rows(as_small_table(told)) == rows(as_table(told))


def test_it_is_smaller_than_the_json():
    told = telemetry((2_000.0,), range(3_000, 3_400), range(60, 80), (97.0,))
    with Flask(__name__).test_request_context():  # channels are named in a language
        as_json = _as_json(uuid4(), told)
    assert len(_as_arrow(as_small_table(told))) < len(as_json)
