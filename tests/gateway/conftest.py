"""A desk, a pretended band and a clock that a test sets."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cymba.stimulation.wire.messages import EndFrame, EventFrame, Frame, SamplesFrame
from gateway.clock import ProgramBoot
from gateway.desk import desk as desks
from gateway.desk.desk import Desk
from gateway.desk.recording import end_broken_off
from gateway.limits import Allowed, NotAllowed
from gateway.radio.drivers import NeckBandDriver
from gateway.radio.pretend import PRETEND_ADDRESS, PretendBand, PretendRadio
from gateway.store import FrameStore

PATIENCE = 20_000  # turns of the loop


class SetBoot(ProgramBoot):
    """A boot whose clock the test sets, in ms."""

    now_ms = 5_000  # of all boots of one test

    def up_ms(self) -> int:
        return SetBoot.now_ms

    def utc_ms(self) -> int:
        return 1_800_000_000_000 + SetBoot.now_ms


class Scene:
    """One run of the program. Its folder and its band may have been in another before."""

    def __init__(self, folder: Path, band: PretendBand) -> None:
        self.band, self.store = band, FrameStore(folder)
        self.left = end_broken_off(self.store)
        self.boot = SetBoot(self.store.begin_boot().number, 0)
        self.allowed: Allowed | NotAllowed = Allowed(highest_level=9, longest_s=240)
        self.said: list[str] = []
        self.shown: list[str] = []
        self.desk = Desk(
            driver=NeckBandDriver(),
            radio=PretendRadio(band),
            address=PRETEND_ADDRESS,
            site="neck",
            side="both",
            store=self.store,
            boot=self.boot,
            allowance=lambda: self.allowed,
            say=self.said.append,
            show=self.shown.append,
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError(f"it never came to it; said: {self.said}; written: {self.commands}")

    async def until_said(self, words: str) -> None:
        await self.until(lambda: any(words in line for line in self.said))

    async def pass_time(self, seconds: float) -> None:
        """Second by second, each seen by the desk."""
        for _ in range(round(seconds)):
            SetBoot.now_ms += 1000
            await self.tick()

    async def tick(self) -> None:
        seen = len(self.shown)
        await self.until(lambda: len(self.shown) > seen + 1)

    async def press(self, keys: str) -> None:
        """One after the other, as fast as a level may be raised."""
        for key in keys:
            SetBoot.now_ms += 1000 * (key == "+")
            self.desk.press(key)
            await self.tick()

    @property
    def commands(self) -> list[bytes]:
        """What was written to the band, but for questions."""
        return [one for one in self.band.written if one != b"Q\n"]

    @property
    def frames(self) -> list[Frame]:
        return [frame for _, frame in self.store.frames_after(0)]

    @property
    def events(self) -> list[str]:
        return [frame.event.name for frame in self.frames if isinstance(frame, EventFrame)]

    @property
    def reasons(self) -> list[str]:
        return [frame.reason for frame in self.frames if isinstance(frame, EndFrame)]

    @property
    def levels(self) -> list[Any]:
        """Second by second, as recorded."""
        samples = [frame for frame in self.frames if isinstance(frame, SamplesFrame)]
        return [level for frame in samples for level in frame.c["native_level"]]


Play = Callable[[Callable[[Scene], Awaitable[None]]], Scene]


@pytest.fixture
def band() -> PretendBand:
    return PretendBand()


@pytest.fixture
def play(tmp_path: Path, band: PretendBand, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run the program through a scene, and end it as a person does. Again: another run."""
    monkeypatch.setattr(desks, "TICK_S", 0)
    monkeypatch.setattr(desks, "CONNECT_AGAIN_S", (0.0,))
    monkeypatch.setattr(SetBoot, "now_ms", 5_000)

    def played(acts: Callable[[Scene], Awaitable[None]]) -> Scene:
        scene = Scene(tmp_path, band)

        async def on_stage() -> None:
            running = asyncio.create_task(scene.desk.run())
            try:
                await acts(scene)
                scene.desk.press("q")
                await running
            finally:
                running.cancel()

        asyncio.run(on_stage())
        return scene

    return played
