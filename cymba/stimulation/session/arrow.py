"""A session's channels as an Arrow table, from which CSV, Arrow and Parquet are written."""

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
