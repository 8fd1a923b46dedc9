"""The clock exchange on `up/time` and `down/time`: a moment known on both clocks.

The server keeps nothing between the two requests: the second one brings `t2` and `t3` back. A
device that lies can shift its own times by no more than `MAX_AGE_MS`.
"""

from typing import Literal, NamedTuple

from cymba.devices.clocks import DRIFT, Anchor
from cymba.devices.messages import TimeReply, TimeRequest

MAX_ROUND_TRIP_MS = 60_000
# How old the reply may be that a second request brings back.
MAX_AGE_MS = 10 * 60_000
ROUNDING_MS = 2.0  # each of the four times is cut to whole milliseconds, on two clocks

Fault = Literal["incomplete", "order", "slow", "future", "stale"]


class Unusable(NamedTuple):
    """A second request from which no anchor can be made."""

    reason: Fault


def reply(request: TimeRequest, received_ms: int, now_ms: int) -> TimeReply | Anchor | Unusable:
    """Answer a first request with a `TimeReply`; make an anchor of a second one.

    The device's `u1` was before our `t2`, and its `u4` after our `t3`. So the middles of the two
    spans differ by at most half of the time on the network: the offset and dispersion of NTP
    (RFC 5905, section 8), plus the drift over the exchange.
    """
    t2, t3, u4 = request.t2, request.t3, request.u4
    if t2 is None and t3 is None and u4 is None:
        return TimeReply(boot=request.boot, u1=request.u1, t2=received_ms, t3=now_ms)
    if t2 is None or t3 is None or u4 is None:
        return Unusable("incomplete")
    fault = _fault(request.u1, t2, t3, u4, received_ms)
    if fault:
        return Unusable(fault)
    return Anchor(
        "exchange",
        up_ms=(request.u1 + u4) / 2,
        wall_ms=(t2 + t3) / 2,
        error_ms=max(u4 - request.u1 - (t3 - t2), 0) / 2 + DRIFT * (u4 - request.u1) + ROUNDING_MS,
    )


def _fault(u1: int, t2: int, t3: int, u4: int, received_ms: int) -> Fault | None:
    round_trip_ms = (u4 - u1) - (t3 - t2)
    if u4 < u1 or t3 < t2 or round_trip_ms < -ROUNDING_MS:
        return "order"
    if round_trip_ms > MAX_ROUND_TRIP_MS:
        return "slow"
    if t3 > received_ms:
        return "future"
    return "stale" if t3 < received_ms - MAX_AGE_MS else None
