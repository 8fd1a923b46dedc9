"""bleak and what this program makes of it, against a peripheral on a virtual controller."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.radio.bluetooth import BleakRadio
from gateway.radio.drivers import EmsBoardDriver, NeckBandDriver
from gateway.radio.interface import LinkLost
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
