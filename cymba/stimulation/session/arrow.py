"""A session's channels as an Arrow table, from which CSV, Arrow and Parquet are written."""

from datetime import UTC

import pyarrow as pa

from cymba.stimulation.session.telemetry import ChannelSeries, Telemetry

SCHEMA = pa.schema(
    [
        ("channel", pa.dictionary(pa.int32(), pa.string())),
        ("unit", pa.dictionary(pa.int32(), pa.string())),
        ("at", pa.timestamp("ms", tz="UTC")),
        ("offset_ms", pa.int64()),
        ("value", pa.float64()),
    ]
)


def as_table(telemetry: Telemetry) -> pa.Table:
    """One row for each reading: channel, unit, at (UTC), offset_ms, value (null: a gap)."""
    started_ms = round(telemetry.started_at.timestamp() * 1000)
    parts = [_rows(series, started_ms) for series in telemetry.series]
    return pa.concat_tables(parts).unify_dictionaries() if parts else SCHEMA.empty_table()


def _rows(series: ChannelSeries, started_ms: int) -> pa.Table:
    count = len(series.values)
    return pa.table(
        {
            "channel": pa.repeat(pa.scalar(series.channel), count),
            "unit": pa.repeat(pa.scalar(series.unit, pa.string()), count),
            "at": pa.array(series.offset_ms + started_ms, pa.timestamp("ms", tz="UTC")),
            "offset_ms": pa.array(series.offset_ms),
            "value": pa.array(series.values, from_pandas=True),  # NaN becomes null
        }
    ).cast(SCHEMA)


def as_small_table(telemetry: Telemetry) -> pa.Table:
    """The same for the wire, in types that JavaScript reads as plain numbers. In place of `at` the
    metadata has `started_at`; a column is wider only where one of its values needs that."""
    table = as_table(telemetry)
    index = pa.int8() if len(telemetry.series) < 128 else pa.int32()
    columns = {
        "channel": table["channel"].cast(pa.dictionary(index, pa.string())),
        "unit": table["unit"].cast(pa.dictionary(index, pa.string())),
        "offset_ms": _narrow(table["offset_ms"], pa.int32()),
        "value": _narrow(table["value"], pa.float32()),
    }
    started_at = telemetry.started_at.astimezone(UTC).isoformat(timespec="microseconds")
    return pa.table(columns).replace_schema_metadata({"started_at": f"{started_at[:26]}Z"})


def _narrow(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """As `kind`, if every value is the same there."""
    try:
        narrow = column.cast(kind)
    except pa.ArrowInvalid:  # does not fit
        return column
    return narrow if narrow.cast(column.type).equals(column) else column
