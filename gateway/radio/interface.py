"""The radio as the desk sees it: find a device, hold a link to it, write, hear, lose it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class LinkLost(Exception):
    """The link is gone, or a write got no answer. What the device does is not known."""


class RadioUnavailable(Exception):
    """There is no Bluetooth here, or it is switched off. The message says what to do."""


@dataclass(frozen=True, slots=True)
class GattProfile:
    """Where a kind of device takes its commands and sends its answers."""

    name_prefix: str  # of the name that it advertises
    service: str
    write: str
    notify: str | None


@dataclass(frozen=True, slots=True)
class FoundDevice:
    address: str
    name: str
    signal_dbm: int | None


class RadioLink(Protocol):
    """One connection to one device, from its beginning to its loss. A reconnect is another link."""

    async def write(self, data: bytes) -> None:
        """
        Raises:
            LinkLost: it is gone, or the write did not come through in time.
        """
        ...

    async def close(self) -> None: ...


class Radio(Protocol):
    async def find(self, profile: GattProfile, seconds: float) -> list[FoundDevice]: ...

    async def connect(
        self,
        address: str,
        profile: GattProfile,
        *,
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> RadioLink:
        """`heard` gets what the device sends, in the pieces in which it comes. `lost` is called at
        most once, and not after `close`.

        Raises:
            LinkLost: the device does not answer, or is another kind.
            RadioUnavailable: there is no Bluetooth.
        """
        ...
