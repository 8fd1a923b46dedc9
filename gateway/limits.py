"""What may be started: the narrowest of the model's limits, the server's, and the person's own.

The server's limits are kept here with their signature, so they hold without a network as well.
"""

import math
from dataclasses import dataclass

import msgspec

from cymba.devices.messages import Desired, Programme, ReportedState
from cymba.devices.models import Limits, allows_no_output, usual_programme
from cymba.devices.signing import read_public_key
from cymba.stimulation.wire.messages import to_json
from firmware.programme import HeldProgramme
from gateway.config import GatewayConfig
from gateway.store import FrameStore


@dataclass(frozen=True, slots=True)
class Allowed:
    highest_level: int
    longest_s: int  # of one session, starting now


@dataclass(frozen=True, slots=True)
class NotAllowed:
    because: str


class KeptProgramme:
    """The server's versions as they come in: the one that is applied is kept in the store."""

    def __init__(self, config: GatewayConfig, store: FrameStore) -> None:
        self._config, self._store = config, store
        self._held = held_programme(config, store.desired)

    def receive(self, desired: Desired, now_utc_ms: float) -> ReportedState:
        before = self._held.version
        reported = _received(self._config, self._held, desired, now_utc_ms)
        if self._held.version != before:
            self._store.hold(to_json(desired))
            self._store.tell(
                f"Version {desired.ver} of your programme and limits is here. It holds for what is "
                "started, raised or gone on with from now on; it stops nothing that runs."
            )
        return reported


def held_programme(config: GatewayConfig, desired: bytes | None) -> HeldProgramme:
    """With the version that was applied last; its signature is verified again."""
    held = HeldProgramme(config.model)
    if desired is not None:
        # It was in time when it came; `programme_at` knows when it ends.
        _received(config, held, msgspec.json.decode(desired, type=Desired), -math.inf)
    return held


def _received(
    config: GatewayConfig, held: HeldProgramme, desired: Desired, now_utc_ms: float
) -> ReportedState:
    key = None if config.programme_key is None else read_public_key(config.programme_key)
    return held.receive(desired, config.device_id, key, now_utc_ms)


def allowance(
    config: GatewayConfig, store: FrameStore, driver_levels: int, now_utc_ms: int
) -> Allowed | NotAllowed:
    desired = store.desired
    held = held_programme(config, desired)
    if desired is not None and held.version == 0:
        return NotAllowed(
            "the limits that are kept here do not bear the server's signature. Go online once, and "
            "they are sent again"
        )
    limits, programme = held.limits, held.programme_at(now_utc_ms)
    if allows_no_output(msgspec.to_builtins(limits)):
        return NotAllowed(
            f"your limits allow no stimulation (version {held.version} of your programme). "
            "The app says why, and what to do"
        )
    spent_s = store.spent_in_a_day(now_utc_ms)
    if limits.daily_sessions is not None and len(spent_s) >= limits.daily_sessions:
        return NotAllowed(f"{len(spent_s)} sessions in 24 hours are as many as your limits allow")
    daily_s = math.inf if limits.daily_s is None else limits.daily_s
    left_s = daily_s - sum(spent_s)
    if left_s < 1:
        return NotAllowed(f"the {daily_s / 60:g} minutes of your limits for 24 hours are used up")
    return Allowed(
        highest_level=_highest(config, limits, programme, driver_levels),
        longest_s=int(min(left_s, _longest_s(config, limits, programme))),
    )


def _highest(
    config: GatewayConfig, limits: Limits, programme: Programme | None, driver_levels: int
) -> int:
    """A level of 0 in a programme leaves it to the person, up to the limit."""
    named = (
        driver_levels,
        config.model.native_levels,
        limits.native_level,
        config.highest_level,
        (programme.native_level or None) if programme is not None else None,
    )
    return int(min(one for one in named if one is not None))


def _longest_s(config: GatewayConfig, limits: Limits, programme: Programme | None) -> float:
    usual = programme or usual_programme(config.model)
    named = (limits.duration_s, config.longest_s, usual.duration_s)
    return min((one for one in named if one is not None), default=math.inf)
