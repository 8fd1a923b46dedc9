"""A log of the publishes that a broker denied, because MQTT 3.1.1 does not inform the device."""

import threading

import structlog
from cachetools import TTLCache

from cymba.devices.broker_rights import is_bridge

LOGGED_EVERY_S = 60
MOST_DEVICES = 10_000
log = structlog.get_logger(__name__)


class DeniedTopics:
    """Logs a device's wrong topic once a minute, so that its developer finds it."""

    def __init__(self) -> None:
        self._logged: TTLCache[str, None] = TTLCache(MOST_DEVICES, LOGGED_EVERY_S)
        self._lock = threading.Lock()

    def log(self, user: str, topic: str) -> None:
        """`user` is connected, and may not publish to `topic`."""
        if is_bridge(user):
            return
        user = user[:32]
        with self._lock:
            if user in self._logged:
                return
            self._logged[user] = None
        log.warning(
            "a publish is denied: topics are exact and in lower case",
            device=user,
            topic=topic[:200],
            allowed=f"cymba/v1/{user}/up/frame, presence, state, time",
        )
