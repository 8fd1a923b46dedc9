"""Bluetooth LE through bleak, which speaks to BlueZ, CoreBluetooth or WinRT.

No other module imports bleak.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from bleak import BleakClient, BleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakError

from gateway.radio.interface import (
    FoundDevice,
    GattProfile,
    LinkLost,
    RadioLink,
    RadioUnavailable,
)

CONNECT_WITHIN_S = 15.0
WRITE_WITHIN_S = 2.0
FAILURES = (BleakError, OSError, TimeoutError, EOFError)  # of a link, by bleak and its backends
SWITCH_ON = "Switch Bluetooth on, and let this program use it"


class BleakRadio:
    def __init__(self, backend: Any = None) -> None:
        """`backend`: one of bleak's, in place of this platform's own."""
        self._backend = backend

    async def find(self, profile: GattProfile, seconds: float) -> list[FoundDevice]:
        """What advertises the profile's name or service, the strongest first.

        Raises:
            RadioUnavailable: there is no Bluetooth.
        """
        try:
            heard = await BleakScanner.discover(timeout=seconds, return_adv=True)
        except (BleakError, OSError) as error:
            raise RadioUnavailable(f"{SWITCH_ON} ({error}).") from None
        found = [
            FoundDevice(device.address, advertised.local_name or device.name or "", advertised.rssi)
            for device, advertised in heard.values()
            if (advertised.local_name or device.name or "").startswith(profile.name_prefix)
            or profile.service in advertised.service_uuids
        ]
        return sorted(found, key=lambda one: -(one.signal_dbm or -999))

    async def connect(
        self,
        address: str,
        profile: GattProfile,
        *,
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> RadioLink:
        client = BleakClient(
            address,
            disconnected_callback=lambda _: lost(),
            timeout=CONNECT_WITHIN_S,
            backend=self._backend,
        )
        return await BleakLink.open(client, profile, heard)


class BleakLink:
    def __init__(self, client: BleakClient, profile: GattProfile) -> None:
        self._client, self._profile = client, profile
        self._confirmed = False

    @classmethod
    async def open(
        cls, client: BleakClient, profile: GattProfile, heard: Callable[[bytes], None]
    ) -> "BleakLink":
        """
        Raises:
            LinkLost: the device does not answer, or is another kind.
            RadioUnavailable: there is no Bluetooth.
        """
        link = cls(client, profile)
        try:
            await client.connect()
            characteristic = client.services.get_characteristic(profile.write)
            if characteristic is None:
                await client.disconnect()
                raise LinkLost(f"the device has no characteristic {profile.write}")
            link._confirmed = "write" in characteristic.properties
            if profile.notify is not None:
                await client.start_notify(profile.notify, lambda _, piece: heard(bytes(piece)))
        except BleakBluetoothNotAvailableError as error:
            raise RadioUnavailable(f"{SWITCH_ON} ({error}).") from None
        except FAILURES as error:
            raise _lost(error) from None
        return link

    async def write(self, data: bytes) -> None:
        """With the device's confirmation, where it gives one."""
        try:
            async with asyncio.timeout(WRITE_WITHIN_S):
                await self._client.write_gatt_char(
                    self._profile.write, data, response=self._confirmed
                )
        except FAILURES as error:
            raise _lost(error) from None

    async def close(self) -> None:
        try:
            await self._client.disconnect()
        except FAILURES:
            return  # it is gone already


def _lost(error: Exception) -> LinkLost:
    return LinkLost(str(error) or type(error).__name__)
