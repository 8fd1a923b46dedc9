"""The thread that sends. It is given a folder, and no more: it cannot reach the stimulator."""

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from firmware.flash import Pace
from gateway.config import GatewayConfig
from gateway.network.http import HttpUplink
from gateway.network.mqtt import BrokerUplink
from gateway.store import FrameStore

AGAIN_AFTER_S = 5.0


class StoreUplink(Protocol):
    def step_once(self) -> None: ...
    def shut(self) -> None: ...


def open_uplink(config: GatewayConfig, store: FrameStore, pace: Pace | None = None) -> StoreUplink:
    """
    Raises:
        ValueError: the server's address cannot be read.
    """
    if config.server.startswith(("http://", "https://")):
        return HttpUplink(config, store, store.boot(), pace)
    return BrokerUplink(config, store, store.boot(), pace)


class SendingThread:
    """Sends until it is stopped. A fault is shown to the person, and no session ends by it."""

    def __init__(self, folder: Path, config: GatewayConfig, pace: Pace | None = None) -> None:
        self._folder, self._config, self._pace = folder, config, pace
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sending", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                self._tell(f"Sending failed ({error!r}). What is recorded is kept here.")
                self._stopping.wait(AGAIN_AFTER_S)

    def _tell(self, line: str) -> None:
        with suppress(sqlite3.Error):  # the fault may be the store's own
            store = FrameStore(self._folder)
            store.tell(line)
            store.close()

    def _send(self) -> None:
        store = FrameStore(self._folder)
        try:
            uplink = open_uplink(self._config, store, self._pace)
            try:
                while not self._stopping.is_set():
                    uplink.step_once()
            finally:
                uplink.shut()
        finally:
            store.close()
