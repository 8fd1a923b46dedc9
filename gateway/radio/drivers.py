"""Each kind of stimulator in bytes: what to write to start, to set a level, to stop, to ask.

The facts are from public sources; docs/gateway.md says which, and what was never tried on a device.
A driver writes nothing itself, so every byte can be tested.
"""

import re
from collections.abc import Mapping
from typing import Final, Protocol

from cymba.devices.messages import Side
from gateway.radio.interface import GattProfile

MAX_HEARD_BYTES = 256
BAND_CHANNELS: Final[Mapping[Side, bytes]] = {"both": b"D\n", "left": b"A\n", "right": b"C\n"}
BOARD_CHANNELS: Final[Mapping[Side, tuple[int, ...]]] = {
    "left": (0,),
    "right": (1,),
    "both": (0, 1),
}


class Driver(Protocol):
    title: str
    profile: GattProfile
    highest_level: int
    keep_alive_s: float
    when_lost: str  # what is known of what it does without a link, for the person

    def start(self, side: Side, level: int) -> tuple[bytes, ...]: ...
    def set_level(self, side: Side, level: int) -> tuple[bytes, ...]:
        """Also repeated, to keep the level alive."""
        ...

    def stop(self) -> tuple[bytes, ...]: ...
    def ask_battery(self) -> bytes | None:
        """None: it does not report its battery."""
        ...

    def read_battery_mv(self, heard: bytes) -> int | None:
        """The battery's voltage, once all of the answer is there; None for anything else."""
        ...


class NeckBandDriver:
    """A consumer neck band: ASCII commands on the Nordic UART service, each ended by a newline."""

    title = "neck band"
    profile = GattProfile(
        name_prefix="Pulsetto",
        service="6e400001-b5a3-f393-e0a9-e50e24dcca9e",
        write="6e400002-b5a3-f393-e0a9-e50e24dcca9e",
        notify="6e400003-b5a3-f393-e0a9-e50e24dcca9e",
    )
    highest_level = 9
    # The maker's app repeats the level; no source says how often. The shorter, the sooner a loss
    # is seen.
    keep_alive_s = 3.0
    when_lost = (
        "A neck band may go on stimulating without a link; no source says for how long. "
        "Press its own button, or take it off."
    )
    # All of the answer: with fewer decimals it may be cut off.
    _BATTERY = re.compile(rb"Batt:([0-9])\.([0-9]{2})(?![0-9])")

    def start(self, side: Side, level: int) -> tuple[bytes, ...]:
        return BAND_CHANNELS[side], *self.set_level(side, level)

    def set_level(self, side: Side, level: int) -> tuple[bytes, ...]:
        del side  # chosen at the start
        return (b"%d\n" % _checked(level, self.highest_level),)

    def stop(self) -> tuple[bytes, ...]:
        return (b"0\n",)

    def ask_battery(self) -> bytes:
        return b"Q\n"

    def read_battery_mv(self, heard: bytes) -> int | None:
        found = self._BATTERY.search(heard)
        return None if found is None else int(found[1]) * 1000 + int(found[2]) * 10


class EmsBoardDriver:
    """Boards that speak the protocol of openEMSstim: channel, intensity in percent, on-time.

    Each command holds for its on-time alone, so it is repeated well within that.
    """

    title = "EMS board"
    profile = GattProfile(
        name_prefix="EMS",
        service="454d532d-5365-7276-6963-652d424c4531",
        write="454d532d-5374-6575-6572-756e672d4348",
        notify=None,
    )
    highest_level = 100
    keep_alive_s = 1.0
    on_time_ms = 2_500
    when_lost = (
        "By its description an EMS board switches off 2.5 s after the last command. "
        "Take the electrodes off if it does not."
    )

    def start(self, side: Side, level: int) -> tuple[bytes, ...]:
        return self.set_level(side, level)

    def set_level(self, side: Side, level: int) -> tuple[bytes, ...]:
        _checked(level, self.highest_level)
        return tuple(
            b"C%dI%dT%dG" % (channel, level, self.on_time_ms) for channel in BOARD_CHANNELS[side]
        )

    def stop(self) -> tuple[bytes, ...]:
        """A new on-time replaces the one that is running, also if it is shorter."""
        return b"C0I0T1G", b"C1I0T1G"

    def ask_battery(self) -> None:
        return None

    def read_battery_mv(self, heard: bytes) -> int | None:
        del heard
        return None


DRIVERS: dict[str, Driver] = {"neck-band": NeckBandDriver(), "ems-board": EmsBoardDriver()}


def _checked(level: int, highest: int) -> int:
    if not 1 <= level <= highest:
        raise ValueError(f"level {level} is not within 1 … {highest}")
    return level
