"""Frames as the columns that telemetry reads, in either of the forms in which they are stored."""

from collections.abc import Sequence

from cymba.devices.clocks import to_ms
from cymba.stimulation.archive.columns import (
    RecordingColumns,
    SessionColumns,
    TableColumns,
    TableRows,
    columns_of,
)
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import encode_recording
from cymba.stimulation.wire.frames import KINDS, pack
from cymba.stimulation.wire.messages import SamplesFrame


def table_rows(reads: Sequence[ReadFrame]) -> tuple[TableRows, bytes]:
    """As the statement gives them."""
    packed = [pack(read.frame) for read in reads]
    rows = TableRows(
        [read.frame.store for read in reads],
        [read.frame.seq for read in reads],
        [read.frame.boot for read in reads],
        [one.kind for one in packed],
        [read.frame.up for read in reads],
        [round(to_ms(read.received_at)) for read in reads],
    )
    samples = [one.body for one in packed if one.kind == KINDS[SamplesFrame]]
    return rows, b"".join(samples)


def table_part(reads: Sequence[ReadFrame]) -> TableColumns:
    return TableColumns(*table_rows(reads))


def recording_parts(reads: Sequence[ReadFrame]) -> list[RecordingColumns]:
    stores = sorted({read.frame.store for read in reads})
    of_stores = [[read for read in reads if read.frame.store == store] for store in stores]
    return [
        RecordingColumns(store, encode_recording(of_store).body)
        for store, of_store in zip(stores, of_stores, strict=True)
    ]


def in_columns(reads: Sequence[ReadFrame]) -> SessionColumns:
    return columns_of([], [table_part(reads)])


def recorded(reads: Sequence[ReadFrame]) -> SessionColumns:
    return columns_of(recording_parts(reads), [])
