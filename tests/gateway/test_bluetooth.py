"""bleak and what this program makes of it, against a peripheral on a virtual controller."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.exc import BleakError

from gateway.radio.bluetooth import BleakRadio
from gateway.radio.drivers import EmsBoardDriver, NeckBandDriver
from gateway.radio.interface import LinkLost, RadioUnavailable
from gateway.radio.stimulator import LinkedStimulator
from tests.gateway.virtual_radio import BAND_ADDRESS, VirtualBand

DRIVER = NeckBandDriver()


def on_air(scene: Callable[[VirtualBand, BleakRadio], Awaitable[None]]) -> None:
    async def played() -> None:
        profile = DRIVER.profile
        band = VirtualBand(profile.service, profile.write, profile.notify)
        await band.switch_on()
        await scene(band, BleakRadio(band.backend()))

    asyncio.run(played())


def test_a_session_over_the_air_is_the_bytes_of_the_driver() -> None:
    async def scene(band: VirtualBand, radio: BleakRadio) -> None:
        band.answers[b"Q\n"] = [b"Batt", b":3.9", b"5\n"]
        stimulator = await LinkedStimulator.connect(radio, BAND_ADDRESS, DRIVER, lambda: None)
        await stimulator.start("both", 1)
        await stimulator.set_level("both", 2)
        assert await stimulator.battery_mv() == 3950
        await stimulator.stop()
        assert band.written == [b"D\n", b"1\n", b"2\n", b"Q\n", b"0\n"]
        await stimulator.close()

    on_air(scene)


def test_a_link_that_breaks_is_told_once_and_another_can_follow() -> None:
    async def scene(band: VirtualBand, radio: BleakRadio) -> None:
        lost = asyncio.Event()
        stimulator = await LinkedStimulator.connect(radio, BAND_ADDRESS, DRIVER, lost.set)
        await stimulator.start("left", 1)
        await band.go_away()
        await lost.wait()
        with pytest.raises(LinkLost):
            await stimulator.set_level("left", 2)
        assert band.written == [b"A\n", b"1\n"]
        again = await LinkedStimulator.connect(radio, BAND_ADDRESS, DRIVER, lambda: None)
        await again.stop()
        assert band.written[-1] == b"0\n"

    on_air(scene)


def test_a_device_of_another_kind_is_refused() -> None:
    async def scene(_band: VirtualBand, radio: BleakRadio) -> None:
        with pytest.raises(LinkLost, match="no characteristic"):
            await LinkedStimulator.connect(radio, BAND_ADDRESS, EmsBoardDriver(), lambda: None)

    on_air(scene)


def test_bands_are_found_by_name_or_service_and_the_nearest_comes_first(monkeypatch) -> None:
    def advertised(name: str | None, rssi: int, *services: str) -> tuple[Any, Any]:
        address = f"{name}{rssi}"
        told = SimpleNamespace(local_name=name, rssi=rssi, service_uuids=list(services))
        return SimpleNamespace(address=address, name=None), told

    async def discover(**_: Any) -> dict[str, Any]:
        prefix, service = DRIVER.profile.name_prefix, DRIVER.profile.service
        heard = [
            advertised("Headphones", -30), advertised(f"{prefix}_1", -80),
            advertised(None, -60, service), advertised(f"{prefix}_2", -40, service),
        ]  # fmt: skip
        return {device.address: (device, told) for device, told in heard}

    monkeypatch.setattr("bleak.BleakScanner.discover", discover)
    found = asyncio.run(BleakRadio().find(DRIVER.profile, 1.0))
    assert [one.signal_dbm for one in found] == [-40, -60, -80]


def test_a_machine_without_bluetooth_is_told_what_to_do(monkeypatch) -> None:
    async def discover(**_: Any) -> None:
        raise BleakError("no adapter")

    monkeypatch.setattr("bleak.BleakScanner.discover", discover)
    with pytest.raises(RadioUnavailable, match="Switch Bluetooth on"):
        asyncio.run(BleakRadio().find(DRIVER.profile, 1.0))
