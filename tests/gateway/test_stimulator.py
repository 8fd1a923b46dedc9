"""A link to a device that answers late, by halves, or not at all."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.radio import stimulator as stimulators
from gateway.radio.drivers import NeckBandDriver
from gateway.radio.interface import LinkLost
from gateway.radio.pretend import PRETEND_ADDRESS, PretendBand, PretendRadio
from gateway.radio.stimulator import LinkedStimulator

DRIVER = NeckBandDriver()


async def linked(band: PretendBand, lost: Callable[[], None] = lambda: None) -> LinkedStimulator:
    return await LinkedStimulator.connect(PretendRadio(band), PRETEND_ADDRESS, DRIVER, lost)


@pytest.fixture(autouse=True)
def an_answer_is_awaited_for_a_moment(monkeypatch) -> None:
    monkeypatch.setattr(stimulators, "ANSWER_WITHIN_S", 0.01)


@pytest.mark.parametrize("pieces", [[b"Batt:3.9"], [b"Ba", b"tt:"], [b"mode:D\n"], []])
def test_half_an_answer_is_none(pieces) -> None:
    async def scene() -> None:
        band = PretendBand()
        band.battery_answers = pieces
        assert await (await linked(band)).battery_mv() is None

    asyncio.run(scene())


def test_an_answer_in_pieces_is_put_together() -> None:
    async def scene() -> None:
        band = PretendBand()
        band.battery_answers = [b"B", b"att:", b"4.", b"0", b"1"]
        assert await (await linked(band)).battery_mv() == 4010

    asyncio.run(scene())


def test_what_comes_without_a_question_is_no_answer_to_the_next() -> None:
    async def scene() -> None:
        band = PretendBand()
        band.battery_answers = []
        stimulator = await linked(band)
        assert await stimulator.battery_mv() is None
        band.tell(b"Batt:4.10\n")  # late
        assert await stimulator.battery_mv() is None
        band.tell(b"Batt:4.")  # a stale half must not be made whole by what follows
        band.battery_answers = [b"20\n"]
        assert await stimulator.battery_mv() is None
        band.battery_answers = [b"Batt:3."]  # nor the half of one answer by the half of another
        assert await stimulator.battery_mv() is None
        band.battery_answers = [b"95\n"]
        assert await stimulator.battery_mv() is None

    asyncio.run(scene())


def test_a_question_of_a_lost_link_ends_with_it() -> None:
    async def scene() -> None:
        band = PretendBand()
        band.battery_answers = []
        lost: list[bool] = []
        stimulator = await linked(band, lambda: lost.append(True))
        asking = asyncio.ensure_future(stimulator.battery_mv())
        await asyncio.sleep(0)
        band.break_link()
        with pytest.raises(LinkLost):
            await asking
        assert lost == [True]

    asyncio.run(scene())


def test_nothing_is_written_on_a_link_that_is_gone() -> None:
    async def scene() -> None:
        band = PretendBand()
        stimulator = await linked(band)
        await stimulator.start("both", 3)
        band.break_link()
        for doing in (stimulator.start("both", 1), stimulator.set_level("both", 4),
                      stimulator.stop()):  # fmt: skip
            with pytest.raises(LinkLost):
                await doing
        assert band.written == [b"D\n", b"3\n"]
        assert band.level == 3  # it goes on: that is what the person is told

    asyncio.run(scene())


def test_a_closed_link_tells_no_loss() -> None:
    async def scene() -> None:
        band = PretendBand()
        lost: list[bool] = []
        await (await linked(band, lambda: lost.append(True))).close()
        band.break_link()
        assert lost == []

    asyncio.run(scene())
