"""Suspends devices that flood the broker, and ends suspensions."""

from collections import deque
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.suspension import end_suspensions, suspend
from mqtt_bridge.metrics import BridgeMetrics

log = structlog.get_logger(__name__)


class FloodGuard:
    """`flooding` holds the devices that the network thread has detected."""

    def __init__(self, engine: Engine, flooding: deque[str], metrics: BridgeMetrics) -> None:
        self._engine = engine
        self._flooding = flooding
        self._metrics = metrics

    def do(self) -> bool:
        caught = {self._flooding.popleft() for _ in range(len(self._flooding))}
        now = datetime.now(UTC)
        with UnitOfWork(self._engine) as session, session.begin():
            suspended = [device for device in sorted(caught) if suspend(session, device, now)]
            ended = end_suspensions(session, now)
        for device_id in suspended:
            self._metrics.suspended.inc()
            log.warning("a device floods the broker and is suspended", device=device_id)
        for device_id in ended:
            log.info("a suspension has ended", device=device_id)
        return False
