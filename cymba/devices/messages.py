"""The wire messages about the device itself: presence, clock, programme (protocol v1).

The messages about its frames are in `cymba/stimulation/wire/messages.py`, from which all messages
can be imported. Times are milliseconds: `up`, `sent` and `u*` since the device's
boot, `utc`, `expires` and `t*` since 1970-01-01T00:00:00Z.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

UInt32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53 - 1)]
# `(?!\n)` because Python's `$` also matches before a last newline.
ChannelName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$(?!\n)")]
# No control characters: PostgreSQL's text cannot hold the first of them.
ShortText = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$(?!\n)")]
Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}$(?!\n)")]
Site = Literal["cymba_conchae", "tragus", "neck", "other"]
Side = Literal["left", "right", "both"]


class Programme(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a device is set to do. `native_level` is the model's own scale, where it has one.

    A member that the device's model does not have, or does not know, is not given:
    `cymba/devices/models.py` says which a model needs.

    Of a desired programme `amplitude_ua`, or `native_level` where there is no current, is a
    ceiling: the person may take less. With 0 the person finds it by titration, up to the device's
    limit; a limit of 0 allows none.
    """

    frequency_hz: Annotated[float, Meta(gt=0, le=10_000)] | None = None
    pulse_width_us: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    amplitude_ua: Annotated[int, Meta(ge=0, le=60_000)] | None = None
    on_s: Annotated[int, Meta(ge=1, le=14_400)] | None = None
    off_s: Annotated[int, Meta(ge=0, le=14_400)] | None = None
    duration_s: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    site: Site
    side: Side | None = None
    ramp_ua_per_s: Annotated[int, Meta(ge=1, le=60_000)] | None = None
    native_level: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    sensory_threshold_ua: Annotated[int, Meta(ge=1, le=60_000)] | None = None


class Presence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retained on `up/presence`; the same with `online` false is the connection's last will.

    `sent` is the moment of this connection's start, in the will too. So a late will names its
    connection and cannot mark a newer one as offline.
    """

    v: Literal[1] = 1
    online: bool
    store: UInt32
    boot: UInt32
    sent: Milliseconds
    firmware: ShortText | None = None
    model: ShortText | None = None
    battery_pct: Annotated[int, Meta(ge=0, le=100)] | None = None
    queued: UInt32 | None = None  # frames still in flash
    utc: Milliseconds | None = None


class TimeRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`up/time`: first `{boot, u1}`; then, after the reply, the same with `t2`, `t3` and `u4`.

    `boot` counts the boots of `store`; without it the device's latest store is meant.
    """

    boot: UInt32
    u1: Milliseconds
    store: UInt32 | None = None
    t2: Milliseconds | None = None
    t3: Milliseconds | None = None
    u4: Milliseconds | None = None


class TimeReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`down/time`: `t2` when the request came, `t3` when this reply left."""

    boot: UInt32
    u1: Milliseconds
    t2: Milliseconds
    t3: Milliseconds


class ReportedState(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`up/state`: the device applied version `ver` of its programme, or the reason why not."""

    ver: UInt32
    applied: bool
    code: Code | None = None
    detail: ShortText | None = None


class Desired(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`down/desired`, retained: the programme to hold and the limits to keep it within."""

    ver: UInt32
    programme: Programme
    limits: dict[ChannelName, int | float]
    expires: Milliseconds | None = None
    signature: str | None = None  # Ed25519 over the canonical CBOR of all the rest, base64url


class Relocation(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`down/broker`, retained: the broker to connect to from now on.

    A device ignores an `at` that is not above that of the last one it followed.
    """

    at: Milliseconds  # when it was asked for
    broker: ShortText  # mqtt[s]://host[:port]
    signature: str | None = None  # as of the programme
