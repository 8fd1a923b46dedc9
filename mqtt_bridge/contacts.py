"""When each device was last heard from, and who holds it: written and read in bulk by a chore, so
that no batch waits for it."""

import threading
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import islice

import structlog
from cachetools import LRUCache
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.cells import elsewhere
from cymba.devices.holders import holders_of
from cymba.devices.moving import arrive, still_here
from cymba.devices.presence import SEEN_STEP, record_seen

PERIOD_S = 5.0
AT_ONCE = 5_000  # devices in one transaction, which locks their rows
MOST_DEVICES = 100_000  # whose last contact and holder are cached
log = structlog.get_logger(__name__)


class Contacts:
    """The writer notes contacts; the chore writes those that are news, and reads the holders. Who
    was to come to this cell, and is heard from here, has come."""

    def __init__(self, engine: Engine, cell: str, *, most_devices: int = MOST_DEVICES) -> None:
        # The account of each device of this cell; any thread may read it.
        self.holders: dict[str, str] = {}
        self.cell = cell
        self._engine = engine
        self._recorded = _Recorded(most_devices, self.holders)
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}
        self._connected: set[str] = set()
        self._due_s = 0.0

    def note(self, contacts: Iterable[tuple[str, datetime]]) -> None:
        """Devices whose frames are committed, and when those arrived."""
        with self._lock:
            self._noted.update(contacts)

    def note_connected(self, device_ids: Iterable[str]) -> None:
        """Devices that have just come online."""
        with self._lock:
            self._connected.update(device_ids)

    def do(self) -> bool:
        with self._lock:
            connected = set(islice(self._connected, AT_ONCE))
        self._receive(connected, is_new=True)
        with self._lock:
            self._connected -= connected
        if len(connected) == AT_ONCE:
            return True
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        news = self._news()
        if news:
            with UnitOfWork(self._engine) as session, session.begin():
                record_seen(session, news)
                away = elsewhere(session, news.keys(), self.cell)
                holders = holders_of(session, news.keys() - away.keys())
            for device_id, at in news.items():
                self._recorded[device_id] = at
                if device_id in holders:
                    self.holders[device_id] = holders[device_id]
                else:
                    self.holders.pop(device_id, None)
            with self._lock:
                for device_id, at in news.items():
                    if self._noted.get(device_id) == at:
                        del self._noted[device_id]
        self._receive(news.keys())  # frames tell of it too, should a crash have lost who came
        if len(news) == AT_ONCE:
            return True
        self._due_s = now_s + PERIOD_S
        return False

    def _receive(self, device_ids: Collection[str], *, is_new: bool = False) -> None:
        if not device_ids:
            return
        with UnitOfWork(self._engine) as session, session.begin():
            arrived = arrive(session, device_ids, self.cell, datetime.now(UTC))
            stayed = still_here(session, device_ids, self.cell) if is_new else {}
        for device_id, awaits in stayed.items():
            # It does not know that message, or could not get in there and has come back.
            log.info("a device that was told to go is still here", device=device_id, awaits=awaits)
        for device_id in arrived:
            log.info("a device has come to this cell", device=device_id, cell=self.cell)

    def _news(self) -> dict[str, datetime]:
        """Of the noted contacts, those whose time in the database is old. The others are
        forgotten: there will be newer ones."""
        news: dict[str, datetime] = {}
        with self._lock:
            for device_id, at in list(self._noted.items()):
                recorded_at = self._recorded.get(device_id)
                if recorded_at is not None and at - recorded_at < SEEN_STEP:
                    del self._noted[device_id]
                elif len(news) < AT_ONCE:
                    news[device_id] = at
        return news


class _Recorded(LRUCache[str, datetime]):
    """When each device was recorded last. With a device that makes room goes who holds it."""

    def __init__(self, maxsize: int, holders: dict[str, str]) -> None:
        super().__init__(maxsize)
        self._holders = holders

    def popitem(self) -> tuple[str, datetime]:
        device_id, recorded_at = super().popitem()
        self._holders.pop(device_id, None)
        return device_id, recorded_at
