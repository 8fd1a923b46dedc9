"""A neck band that is only pretended: to try the program without one, and for tests.

It answers as the sources describe a band, and goes on stimulating when its link breaks.
"""

import asyncio
from collections.abc import Callable

from gateway.radio.interface import FoundDevice, GattProfile, LinkLost

PRETEND_ADDRESS = "pretended"


class PretendBand:
    """What is worn: it does what is written to it, link or no link."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.level = 0
        self.is_within_reach = True
        self.battery_answers: list[bytes] = [b"Batt:3.95\n"]  # the pieces of an answer
        self._link: PretendLink | None = None

    def break_link(self) -> None:
        """Out of reach: the link is lost, the level stays."""
        self.is_within_reach = False
        if self._link is not None:
            self._link.break_off()

    def tell(self, piece: bytes) -> None:
        """Send a piece that was not asked for."""
        if self._link is not None:
            self._link.hear(piece)

    def attach(self, link: "PretendLink") -> None:
        self._link = link

    def take(self, command: bytes, answer: Callable[[bytes], None]) -> None:
        self.written.append(command)
        if command == b"Q\n":
            for piece in self.battery_answers:
                answer(piece)
        elif command[:-1].isdigit():
            self.level = int(command)


class PretendLink:
    def __init__(
        self, band: PretendBand, heard: Callable[[bytes], None], lost: Callable[[], None]
    ) -> None:
        self._band, self._heard, self._lost = band, heard, lost
        self._open = True
        band.attach(self)

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if not self._open:
            raise LinkLost("the pretended band is out of reach")
        self._band.take(data, self._heard)

    def hear(self, piece: bytes) -> None:
        if self._open:
            self._heard(piece)

    async def close(self) -> None:
        self._open = False

    def break_off(self) -> None:
        if self._open:
            self._open = False
            self._lost()


class PretendRadio:
    def __init__(self, band: PretendBand | None = None) -> None:
        self.band = band or PretendBand()

    async def find(self, profile: GattProfile, seconds: float) -> list[FoundDevice]:
        del seconds
        if not self.band.is_within_reach:
            return []
        return [FoundDevice(PRETEND_ADDRESS, f"{profile.name_prefix} (pretended)", -40)]

    async def connect(
        self,
        address: str,
        profile: GattProfile,
        *,
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> PretendLink:
        del address, profile
        await asyncio.sleep(0)
        if not self.band.is_within_reach:
            raise LinkLost("the pretended band is out of reach")
        return PretendLink(self.band, heard, lost)
