"""Profiles of faults: what goes wrong in the field, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

import cbor2
import msgspec
import numpy as np

from cymba.stimulation.wire.messages import Frame
from firmware.flash import Pace
from firmware.wire import Form, encode
from simulator.link import GilbertElliott, Outages
from simulator.seeding import chance

Spoiling = Literal["schema", "unsupported-version", "impossible-value"]
SPOILINGS: tuple[Spoiling, ...] = ("schema", "unsupported-version", "impossible-value")


@dataclass(frozen=True, slots=True)
class Profile:
    """Shares are of publishes, of sessions, of boots or of devices, as each name says."""

    name: str
    drift_ppm: tuple[float, float] = (20.0, 100.0)  # of either sign
    calendar_error_ms: float = 1_500.0  # standard deviation, when the phone sets the clock
    reboot_per_session: float = 0.0
    power_cycle_per_session: float = 0.0
    calendar_lost_per_boot: float = 0.0
    old_firmware_per_device: float = 0.0
    duplicate_per_publish: float = 0.0
    reorder_per_publish: float = 0.0
    spoiled_per_frame: float = 0.0
    garbage_per_publish: float = 0.0
    local_time_per_device: float = 0.0  # the calendar clock was set to the wall's time, not UTC
    loss: GilbertElliott | None = None
    outages: Outages | None = None


CLEAN = Profile("clean")
REALISTIC = Profile(
    "realistic",
    reboot_per_session=0.02,
    power_cycle_per_session=0.3,
    calendar_lost_per_boot=0.05,
    old_firmware_per_device=0.1,
    duplicate_per_publish=0.02,
    reorder_per_publish=0.05,
    loss=GilbertElliott(mean_good_s=300.0, mean_bad_s=8.0, loss_bad=0.7),
    outages=Outages(mean_between_h=36.0, median_h=3.0, spread=1.0),
)
HOSTILE = replace(
    REALISTIC,
    name="hostile",
    calendar_error_ms=20_000.0,
    reboot_per_session=0.3,
    calendar_lost_per_boot=0.3,
    old_firmware_per_device=0.3,
    duplicate_per_publish=0.05,
    reorder_per_publish=0.3,
    spoiled_per_frame=0.01,
    garbage_per_publish=0.005,
    local_time_per_device=0.2,
    loss=GilbertElliott(mean_good_s=20.0, mean_bad_s=8.0, loss_bad=0.9),
    outages=Outages(mean_between_h=6.0, median_h=3.0, spread=1.2),
)
PROFILES: Mapping[str, Profile] = {p.name: p for p in (CLEAN, REALISTIC, HOSTILE)}


@dataclass(frozen=True, slots=True)
class Behaviour(Pace):
    """How a device keeps to the protocol. The defaults keep it. Each other value breaks one rule,
    to test the parts that listen to devices."""

    frees_before_ack: bool = False  # as soon as a frame is sent
    reuses_keys: bool = False  # sometimes gives two frames the same number
    follows_anybody: bool = False  # to another broker, whoever signed that
    ignores_versions: bool = False  # applies an older programme over a newer one
    wrong_units: bool = False  # sends mA and kOhm


@dataclass(frozen=True, slots=True)
class Firmware:
    """The abilities of a device's firmware."""

    version: str
    wire: Form
    channels: frozenset[str] | None = None  # None: all it has sensors for
    renamed: Mapping[str, str] = field(default_factory=dict)
    exchanges_time: bool = True
    knows_calendar_is_lost: bool = True  # else it reports 1970


OLD_CHANNELS = frozenset({"amplitude_ua", "impedance_ohm", "heart_rate_bpm", "battery_pct"})


def draw_firmware(profile: Profile, rng: np.random.Generator) -> Firmware:
    """A device's firmware. An old one sends fewer channels, one of them under a name that is
    unknown to the server and stored as it is. It has no clock exchange and believes that it is
    1970."""
    if chance(rng, profile.old_firmware_per_device):
        return Firmware(
            version="0.9.4",
            wire="json",
            channels=OLD_CHANNELS,
            renamed={"battery_pct": "battery_level_pct"},
            exchanges_time=False,
            knows_calendar_is_lost=False,
        )
    return Firmware(version="1.4.2", wire="json" if chance(rng, 0.5) else "cbor")


def spoil(message: dict[str, Any], spoiling: Spoiling) -> dict[str, Any]:
    """The same message with a fault, to be rejected with the code `spoiling`."""
    if spoiling == "unsupported-version":
        return {**message, "v": 0}
    columns = message.get("c")
    if not columns:
        return {**message, "up": str(message["up"])}
    impossible: str | int = "72" if spoiling == "schema" else -1
    name = "impedance_ohm" if "impedance_ohm" in columns else next(iter(columns))
    return {**message, "c": {**columns, name: [impossible, *columns[name][1:]]}}


def encode_frame(
    frame: Frame, form: Form, *, sent_ms: int | None, spoiling: Spoiling | None
) -> bytes:
    """The frame as it is published now. A spoiled one always has the same bytes."""
    if spoiling is None:
        return encode(msgspec.structs.replace(frame, sent=sent_ms), form)
    whole = {name: value for name, value in msgspec.to_builtins(frame).items() if value is not None}
    spoiled = spoil(whole, spoiling)
    return msgspec.json.encode(spoiled) if form == "json" else cbor2.dumps(spoiled)


def garbage(number: int) -> bytes:
    """A payload of up to 400 bytes that is no frame at all."""
    digest = blake2b(number.to_bytes(8), digest_size=8).digest()
    return (b"{" if number % 2 else b"\xa0") + digest * (number % 50)
