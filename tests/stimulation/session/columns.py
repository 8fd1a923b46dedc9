"""Frames as the columns that telemetry reads, in either of the forms in which they are stored."""

from collections.abc import Sequence

import numpy as np

from cymba.devices.clocks import to_ms
from cymba.float_columns import Floats
from cymba.stimulation.archive.columns import (
    RecordingColumns,
    SessionColumns,
    TableColumns,
    columns_of,
)
from cymba.stimulation.archive.integer_columns import Integers
from cymba.stimulation.archive.packed_lists import array_head
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.archive.recording import encode_recording
from cymba.stimulation.session.telemetry import Points, Window
from cymba.stimulation.session.timing import Milliseconds
from cymba.stimulation.wire.frames import KINDS, pack
from cymba.stimulation.wire.messages import SamplesFrame


def table_rows(reads: Sequence[ReadFrame]) -> tuple[Integers, bytes]:
    """As the statement gives them."""
    packed = [pack(read.frame) for read in reads]
    rows = [
        (f.store, f.seq, f.boot, f.up, round(to_ms(read.received_at)), one.kind)
        for read, one in zip(reads, packed, strict=True)
        for f in [read.frame]
    ]
    samples = [one.body for one in packed if one.kind == KINDS[SamplesFrame]]
    return np.array(rows, dtype=np.int64).reshape(-1, 6), array_head(len(samples)) + b"".join(
        samples
    )


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


def with_gaps(at_ms: Milliseconds, values: Floats, points: int) -> tuple[Milliseconds, Floats]:
    """At most `points` of them; NaN is a gap."""
    is_gap = np.isnan(values)
    before = np.cumsum(~is_gap)[is_gap]
    kept = Points(at_ms[~is_gap], at_ms[is_gap], before, Window(most=points))
    return kept.shown(values[~is_gap])
