"""Puts the two sides of the gateway together: a desk and a thread that sends, over one store."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from firmware.flash import Pace
from gateway.config import GatewayConfig
from gateway.desk.desk import HELP, Desk
from gateway.desk.recording import end_broken_off
from gateway.desk.terminal import QUIT, DeskScreen, follow
from gateway.limits import allowance
from gateway.network.sending import SendingThread
from gateway.radio.drivers import DRIVERS
from gateway.radio.interface import Radio
from gateway.store import FrameStore, sole_use

SENDS_ON_S = 5.0  # after the person has left


def run(
    folder: Path,
    config: GatewayConfig,
    radio: Radio,
    keys: Iterator[str],
    *,
    pace: Pace | None = None,
    sends: bool = True,
) -> bool:
    """Until the person leaves. False if the stimulator may still be on."""
    screen, driver = DeskScreen(), DRIVERS[config.kind]
    with sole_use(folder):
        store = FrameStore(folder)
        left = end_broken_off(store)
        if left is not None:
            screen.say(
                "The last session broke off: this program was ended while it ran. "
                f"{driver.when_lost} When the link is back, it is told to stop first."
            )
        boot = store.begin_boot()
        desk = Desk(
            driver=driver,
            radio=radio,
            address=config.address,
            site=config.model.sites[0],
            side=config.side,
            store=store,
            boot=boot,
            allowance=lambda: allowance(config, store, driver.highest_level, boot.utc_ms()),
            say=screen.say,
            show=screen.show,
        )
        sending = SendingThread(folder, config, pace)
        if sends:
            sending.start()
        screen.say(HELP)
        try:
            return asyncio.run(_sit(desk, keys))
        finally:
            screen.close()
            if sends:
                _await_sent(store)
                sending.stop()
            store.close()


def _await_sent(store: FrameStore) -> None:
    until_s = time.monotonic() + SENDS_ON_S
    while len(store) and time.monotonic() < until_s:
        time.sleep(0.1)


async def _sit(desk: Desk, keys: Iterator[str]) -> bool:
    loop = asyncio.get_running_loop()

    def press(key: str) -> None:
        with suppress(RuntimeError):  # the person has left
            loop.call_soon_threadsafe(desk.press, key)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            with suppress(NotImplementedError):  # on Windows Ctrl-C ends the keys
                loop.add_signal_handler(number, partial(desk.press, QUIT))
    follow(keys, press)
    return await desk.run()
