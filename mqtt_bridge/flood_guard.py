"""Suspends devices that flood the broker, and ends suspensions."""

from collections import deque
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.suspension import end_suspensions, suspend
from mqtt_bridge.metrics import BridgeMetrics

LOOK_STEP = timedelta(seconds=5)  # suspensions that end are looked for as often
log = structlog.get_logger(__name__)


class FloodGuard:
    """`flooding` holds the devices that the network thread has detected."""

    def __init__(self, engine: Engine, flooding: deque[str], metrics: BridgeMetrics) -> None:
        self._engine = engine
        self._flooding = flooding
        self._metrics = metrics
        self._caught: set[str] = set()  # taken from there, and not suspended yet
        self._looked_at: datetime | None = None

    def do(self) -> bool:
        caught = self._caught
        caught |= {self._flooding.popleft() for _ in range(len(self._flooding))}
        now = datetime.now(UTC)
        looked_at = self._looked_at
        if not caught and looked_at is not None and timedelta(0) <= now - looked_at < LOOK_STEP:
            return False
        with UnitOfWork(self._engine) as session, session.begin():
            suspended = [device for device in sorted(caught) if suspend(session, device, now)]
        caught.clear()
        for device_id in suspended:
            self._metrics.suspended.inc()
            log.warning("a device floods the broker and is suspended", device=device_id)
        with UnitOfWork(self._engine) as session, session.begin():
            ended = end_suspensions(session, now)
        self._looked_at = now
        for device_id in ended:
            log.info("a suspension has ended", device=device_id)
        return False
