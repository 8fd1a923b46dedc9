"""The messages of protocol v1, as typed structs.

The structs carry every bound that can be checked on a single message. Tests compare them with
`docs/device-protocol.md` and the AsyncAPI document. Times are in milliseconds: `up` and `u*` since
the device's boot, `utc` and `t*` since 1970-01-01T00:00:00Z.
"""

import re
from typing import Annotated, Any, Literal
from uuid import UUID

import cbor2
import msgspec
from msgspec import Meta, Struct

from cymba.devices.messages import (
    ChannelName,
    Code,
    Desired,
    Milliseconds,
    Presence,
    Programme,
    Relocation,
    ReportedState,
    ShortText,
    Side,
    Site,
    TimeReply,
    TimeRequest,
    UInt32,
)

# Re-exported, so that the whole protocol can be imported from here.
__all__ = [
    "Desired",
    "Presence",
    "Programme",
    "Relocation",
    "ReportedState",
    "Side",
    "Site",
    "TimeReply",
    "TimeRequest",
]

MAX_PAYLOAD_BYTES = 16 * 1024
MAX_SAMPLES = 240
MAX_COLUMNS = 32
MAX_BEATS_PER_SAMPLE = 4
MAX_DETAILS = 32
MAX_INTEGER = 2**53  # the largest that every JSON reader holds exactly
# Python's `$` also matches before a last newline; other languages' does not.
DEVICE_ID_PATTERN = r"^[A-Za-z0-9_-]{8,32}$(?!\n)"
CHANNEL_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,31}$(?!\n)"

Seq = Annotated[int, Meta(ge=1, le=2**32 - 1)]
# Names and values of columns are checked in `frames.decode`, several times faster than here. The
# schemas in the protocol's documents include those checks.
Reading = (
    Annotated[int, Meta(extra_json_schema={"minimum": -MAX_INTEGER, "maximum": MAX_INTEGER})] | None
)
Column = list[Reading]
Columns = Annotated[
    dict[str, Column],
    Meta(
        max_length=MAX_COLUMNS,
        extra_json_schema={"propertyNames": {"pattern": CHANNEL_NAME_PATTERN}},
    ),
]

END_REASONS = (
    "completed",
    "user_stop",
    "user_pause_timeout",
    "lead_off",
    "high_impedance",
    "short_circuit",
    "compliance_limit",
    "overcurrent",
    "charge_limit",
    "daily_dose_lockout",
    "battery_low",
    "over_temperature",
    "watchdog_reset",
    "power_loss",
    "firmware_fault",
    "self_test_failed",
    "hr_low_stop",
    "discomfort_reported",
    "device_lock_contraindication",
    "unknown_inferred",
)
EndReason = Literal[END_REASONS]  # type: ignore[valid-type] # one list serves wire, table and API


# Bounds that exclude what JSON cannot express: infinities and, because it compares false, NaN.
Detail = (
    ShortText
    | Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
    | Annotated[float, Meta(ge=-1e300, le=1e300)]
    | bool
    | None
)


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of a session: `lead_off`, `lead_on`, `pause`, `resume` …"""

    name: Code
    detail: Annotated[dict[ShortText, Detail], Meta(max_length=MAX_DETAILS)] | None = None


class _Frame(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    v: Literal[1]
    store: UInt32
    seq: Seq
    boot: UInt32
    sid: UUID
    up: Milliseconds
    sent: Milliseconds | None = None
    utc: Milliseconds | None = None


class StartFrame(_Frame, frozen=True, tag="start"):
    """`counters` is where the cumulative channels stood: without it the first value of each in the
    session is its zero."""

    programme: Programme
    counters: Annotated[dict[ChannelName, UInt32], Meta(max_length=8)] | None = None


class SamplesFrame(_Frame, frozen=True, tag="samples"):
    dt: Annotated[int, Meta(ge=1, le=3_600_000)]
    n: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)]
    c: Columns


class EventFrame(_Frame, frozen=True, tag="event"):
    event: Event


class EndFrame(_Frame, frozen=True, tag="end"):
    reason: EndReason
    first_seq: Seq
    last_seq: Seq


Frame = StartFrame | SamplesFrame | EventFrame | EndFrame


RejectionCode = Literal[
    "schema",
    "too-large",
    "unsupported-version",
    "key-reuse",
    "impossible-value",
    "not-claimed",
    "other-cell",
    "rate",
    "server",
]
RETRIED_CODES: frozenset[RejectionCode] = frozenset({"not-claimed", "other-cell", "rate", "server"})


class Rejection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a frame was not stored. Without `retry` it is in quarantine, and resolved.

    A payload whose `seq` cannot be read is named by `payload`, the first 16 hexadecimal digits of
    its SHA-256.
    """

    code: RejectionCode
    detail: str
    retry: bool
    seq: int | None = None
    payload: str | None = None

    def __post_init__(self) -> None:
        assert self.retry == (self.code in RETRIED_CODES)  # noqa: S101 - a rule of the protocol


class Ack(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`down/ack`: what is committed. All of 1 … `upto` and every range of `also` is resolved.

    `store` is absent only if no answered payload names one. `max_frames_per_s`, if present, is the
    device's rate limit.
    """

    upto: int
    store: int | None = None
    also: list[tuple[int, int]] = []
    rejected: list[Rejection] = []
    max_frames_per_s: float | None = None


_is_channel_name = re.compile(CHANNEL_NAME_PATTERN).match


def is_channel_name(name: str) -> bool:
    return _is_channel_name(name) is not None


AnyMessage = Frame | Presence | TimeRequest | TimeReply | ReportedState | Desired | Relocation | Ack


def to_json(message: AnyMessage) -> bytes:
    """The message as JSON, without the fields that are absent."""
    if isinstance(message, Ack):  # sent by the thousand; the struct itself omits absent fields
        return msgspec.json.encode(message)
    return msgspec.json.encode({k: v for k, v in _builtins(message).items() if v is not None})


def to_cbor(message: AnyMessage) -> bytes:
    """The message as CBOR, without the fields that are absent."""
    return cbor2.dumps({k: v for k, v in _builtins(message).items() if v is not None})


def _builtins(message: AnyMessage) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(message)
    return built
