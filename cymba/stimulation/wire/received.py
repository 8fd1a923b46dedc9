"""A frame as it is received and stored: read, checked and packed in one go.

Nearly every frame is JSON with samples of known channels. For these the bounds of each channel are
part of a msgspec type, which checks them as it decodes. Whatever that refuses is read by `decode`,
which finds the reason: both ways give the same frame, or the same `Unreadable`.
"""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from cymba.devices.counter_laps import HALF_A_LAP_MS
from cymba.devices.quotas import (
    READING_BYTES,
    SAMPLE_BYTES,
    FrameCost,
    costs_of,
)
from cymba.stimulation.wire.channels import CHANNELS, Channel
from cymba.stimulation.wire.frames import (
    DIGEST_BYTES,
    KINDS,
    SAMPLES_MEMBERS,
    Unreadable,
    decode,
    pack_row,
    row_of,
)
from cymba.stimulation.wire.messages import (
    MAX_BEATS_PER_SAMPLE,
    MAX_PAYLOAD_BYTES,
    SamplesFrame,
)


class ReceivedFrame(msgspec.Struct, frozen=True, gc=False):
    """What is stored of a frame, and what its arrival says."""

    store: int
    seq: int
    boot: int
    sid: UUID
    up: int
    utc: int | None
    row: bytes  # all that is stored but the body, by `frames.row_of`
    body: bytes
    sent: int | None
    stored_bytes: int  # what it uses of the quotas, by `FrameCost`
    session_bytes: int

    @property
    def digest(self) -> bytes:
        return self.row[-DIGEST_BYTES:]

    @property
    def cost(self) -> FrameCost:
        return FrameCost(1, self.stored_bytes, self.session_bytes)


def receive(payload: bytes) -> ReceivedFrame | Unreadable:
    """Read one payload of `up/frame`."""
    quick = _receive_known(payload)
    if quick is not None:
        return quick
    frame = decode(payload)
    if isinstance(frame, Unreadable):
        return frame
    memory_bytes = 0
    if isinstance(frame, SamplesFrame):
        readings = sum(map(len, frame.c.values()))
        memory_bytes = SAMPLE_BYTES * frame.n + READING_BYTES * readings
    row, body = pack_row(frame)
    return ReceivedFrame(
        frame.store,
        frame.seq,
        frame.boot,
        frame.sid,
        frame.up,
        frame.utc,
        row,
        body,
        frame.sent,
        *costs_of(len(payload), memory_bytes),
    )


def _receive_known(payload: bytes) -> ReceivedFrame | None:
    """A good frame with samples of known channels in JSON; None for anything that may not be one.

    `decode` makes the same checks, in the same order as here.
    """
    payload_bytes = len(payload)
    if payload_bytes > MAX_PAYLOAD_BYTES or payload[:1] != b"{":
        return None
    try:
        frame = _KNOWN.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    columns = astuple(frame.c)
    lengths = [len(column) for column in columns if column is not UNSET]
    up, sent, utc, n = frame.up, frame.sent, frame.utc, frame.n
    # A member that stands there twice: the decoder has kept the last. Nothing else in such a frame
    # has a colon.
    optional = (sent is not None) + (utc is not None)
    is_distinct = payload.count(b":") == SAMPLES_MEMBERS + len(lengths) + optional
    is_in_order = sent is None or not sent < up < sent + HALF_A_LAP_MS
    if not (is_distinct and is_in_order and _is_plausible(columns, lengths, n)):
        return None
    body = _BODY.encode((frame.dt, n, frame.c))
    stored_bytes, session_bytes = costs_of(
        payload_bytes, SAMPLE_BYTES * n + READING_BYTES * sum(lengths)
    )
    return ReceivedFrame(
        frame.store,
        frame.seq,
        frame.boot,
        frame.sid,
        up,
        utc,
        row_of(_SAMPLES, frame, body),
        body,
        sent,
        stored_bytes,
        session_bytes,
    )


def _is_plausible(columns: tuple[Any, ...], lengths: list[int], n: int) -> bool:
    """Whether the columns are as long as they must be, and the cumulative ones never fall."""
    regular = lengths.count(n)
    if regular != len(lengths):
        for at in _PER_BEAT:
            column = columns[at]
            if column is not UNSET and len(column) != n:
                regular += len(column) <= MAX_BEATS_PER_SAMPLE * n
        if regular != len(lengths):
            return False
    for at in _CUMULATIVE:
        column = columns[at]
        if column is not UNSET and (None in column or column != sorted(column)):
            return False
    return True


def _column_of(channel: Channel) -> tuple[str, Any, Any]:
    reading = Annotated[int, Meta(ge=channel.low, le=channel.high)]
    return channel.name, list[reading | None] | UnsetType, UNSET


# In the order of their names, as `pack` writes them.
_NAMES = sorted(CHANNELS)
_PER_BEAT = [at for at, name in enumerate(_NAMES) if CHANNELS[name].layout == "per_beat"]
_CUMULATIVE = [at for at, name in enumerate(_NAMES) if CHANNELS[name].cumulative]
_KnownColumns = msgspec.defstruct(
    "_KnownColumns",
    [_column_of(CHANNELS[name]) for name in _NAMES],
    forbid_unknown_fields=True,
    kw_only=True,
)
_KnownSamples = msgspec.defstruct(
    "_KnownSamples",
    [("c", _KnownColumns)],
    bases=(SamplesFrame,),
    tag="samples",
    frozen=True,
    kw_only=True,
)
_SAMPLES = KINDS[SamplesFrame]
_KNOWN: Any = msgspec.json.Decoder(_KnownSamples)
_BODY = msgspec.msgpack.Encoder()
