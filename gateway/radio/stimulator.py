"""A stimulator at the other end of a link: commands that come through or raise, and its battery."""

import asyncio
from collections.abc import Callable

from cymba.devices.messages import Side
from gateway.radio.drivers import MAX_HEARD_BYTES, Driver
from gateway.radio.interface import LinkLost, Radio, RadioLink

ANSWER_WITHIN_S = 2.0


class LinkedStimulator:
    """One link to one device. It remembers nothing of the device across links."""

    def __init__(self, driver: Driver, lost: Callable[[], None]) -> None:
        self._driver, self._report_lost = driver, lost
        self._link: RadioLink | None = None
        self._heard = b""
        self._question: asyncio.Future[int] | None = None
        self._writing = asyncio.Lock()

    @classmethod
    async def connect(
        cls, radio: Radio, address: str, driver: Driver, lost: Callable[[], None]
    ) -> "LinkedStimulator":
        """
        Raises:
            LinkLost: the device does not answer, or is another kind.
            RadioUnavailable: there is no Bluetooth.
        """
        stimulator = cls(driver, lost)
        stimulator._link = await radio.connect(
            address, driver.profile, heard=stimulator._hear, lost=stimulator._lose
        )
        return stimulator

    async def start(self, side: Side, level: int) -> None:
        await self._write(self._driver.start(side, level))

    async def set_level(self, side: Side, level: int) -> None:
        await self._write(self._driver.set_level(side, level))

    async def stop(self) -> None:
        await self._write(self._driver.stop())

    async def battery_mv(self) -> int | None:
        """None if the device does not report it, or not all of it, or not in time.

        Only what comes after the question is an answer to it: what an earlier one brought late, or
        another link left over, says nothing of now.
        """
        question = self._driver.ask_battery()
        if question is None or self._question is not None:
            return None
        self._heard = b""
        self._question = asyncio.get_running_loop().create_future()
        try:
            await self._write((question,))
            return await asyncio.wait_for(self._question, ANSWER_WITHIN_S)
        except TimeoutError:
            return None
        finally:
            self._question = None

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def _write(self, commands: tuple[bytes, ...]) -> None:
        async with self._writing:  # a battery question never parts the bytes of another command
            for command in commands:
                if self._link is None:
                    raise LinkLost("there is no link")
                await self._link.write(command)

    def _hear(self, piece: bytes) -> None:
        if self._question is None or self._question.done():
            return
        self._heard = (self._heard + piece)[-MAX_HEARD_BYTES:]
        battery_mv = self._driver.read_battery_mv(self._heard)
        if battery_mv is not None:
            self._question.set_result(battery_mv)

    def _lose(self) -> None:
        if self._link is None:
            return
        self._link = None
        if self._question is not None and not self._question.done():
            self._question.set_exception(LinkLost("the link broke before the answer"))
        self._report_lost()
