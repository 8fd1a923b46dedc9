"""Publishes again what devices that are online should have reported by now.

The broker may have lost a message that it had confirmed. Or another broker has confirmed it, if a
second bridge has the same cell and another broker. Only the device's report says that it has it.
"""

import time
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine

from cymba.database import UnitOfWork
from cymba.devices.publication import publish_unreported

STEP_S = 5.0  # between some devices and the next
PERIOD_S = 20.0  # before it begins anew
log = structlog.get_logger(__name__)


class Reconciler:
    """Goes through the devices of its cell that are online, some at a time."""

    def __init__(self, engine: Engine, cell: str) -> None:
        self._engine = engine
        self._cell = cell
        self._above = ""
        self._due_s = 0.0

    def do(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + STEP_S  # also where this one fails
        with UnitOfWork(self._engine) as session, session.begin():
            found = publish_unreported(session, self._cell, datetime.now(UTC), above=self._above)
        if found.again:
            log.warning(
                "devices that are online do not report their programme; it is published again",
                devices=len(found.again),
                first=min(found.again),
            )
        self._above = found.last or ""
        if found.last is None:
            self._due_s = now_s + PERIOD_S
        return False
