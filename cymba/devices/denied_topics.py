"""Telling of publishes that a broker denied: MQTT 3.1.1 itself tells the device nothing."""

import threading

import structlog
from cachetools import TTLCache

from cymba.devices.broker_rights import is_bridge

TOLD_EVERY_S = 60
MOST_DEVICES = 10_000
log = structlog.get_logger(__name__)


class DeniedTopics:
    """Logs a device's wrong topic once a minute, so that its developer finds it."""

    def __init__(self) -> None:
        self._told: TTLCache[str, None] = TTLCache(MOST_DEVICES, TOLD_EVERY_S)
        self._lock = threading.Lock()

    def tell(self, user: str, topic: str) -> None:
        """`user` has come in, and may not publish to `topic`."""
        if is_bridge(user):
            return
        user = user[:32]
        with self._lock:
            if user in self._told:
                return
            self._told[user] = None
        log.warning(
            "a publish is denied: topics are exact and in lower case",
            device=user,
            topic=topic[:200],
            allowed=f"cymba/v1/{user}/up/frame, presence, state, time",
        )
