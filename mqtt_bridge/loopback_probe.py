"""The loopback probe: the bridge sends itself a message through the broker.

A broker keeps one first-in, first-out queue for each client. So once the probe is back, the
broker's backlog for us is drained, and a device's message that arrives now was sent just now. Only
then does its arrival time say when it was sent. The probe also detects a connection that is open
but delivers nothing (a refused access-list entry, a broker without shared subscriptions, or one
that lost our session).
"""

import time

PERIOD_S = 5.0
SLOW_S = 2.0  # a probe that took longer came out of a backlog
LOST_S = 30.0  # of silence, while a probe is out and nothing of ours can have delayed it
# Checks further apart than this mean that this process did not run, and say nothing about the
# connection.
LATE_LOOK_S = 5.0


class LoopbackProbe:
    """One probe at a time. The network thread reads `settled` and sets `heard` with every
    message."""

    def __init__(self) -> None:
        self.settled = False
        self.heard = False  # something has arrived since the last check
        self._looked_at = self._silent_since = 0.0
        self._sent_at: float | None = None
        self._returned_at: float | None = None
        self._expected = b""
        self._number = 0

    def connected(self) -> None:
        """A new connection, for which the broker may have a backlog."""
        self.settled = False
        self._sent_at = self._returned_at = None
        self._expected = b""

    def due(self, now: float | None = None) -> bytes | None:
        """The payload of the next probe, if one is due."""
        now = _monotonic(now)
        if self._expected:
            since_sent_s = now - (self._sent_at or 0)
            if since_sent_s > SLOW_S:
                self.settled = False
            if since_sent_s <= LOST_S:
                return None
            # The broker has dropped it, as some do when a queue is full: send another.
        elif self._returned_at is not None and now - self._returned_at < PERIOD_S:
            return None
        self._number += 1
        self._sent_at, self._expected = now, b"%d" % self._number
        return self._expected

    def returned(self, payload: bytes, now: float | None = None) -> None:
        if payload != self._expected or self._sent_at is None:
            return  # of an earlier connection
        now = _monotonic(now)
        self.settled = now - self._sent_at <= SLOW_S
        self._expected, self._returned_at = b"", now

    def lost(self, now: float | None = None, *, busy: bool) -> bool:
        """Whether this connection seems to deliver nothing at all. Call it about every second.

        `busy` says that messages here are not acked, so the broker may be waiting for us. A
        connection that delivers anything else is left alone, however late the probe is: it is in a
        backlog, and a new connection would only make that longer.
        """
        now = _monotonic(now)
        if busy or self.heard or not self._expected or now - self._looked_at > LATE_LOOK_S:
            self.heard = False
            self._silent_since = now
        self._looked_at = now
        return now - self._silent_since > LOST_S


def _monotonic(now: float | None) -> float:
    return time.monotonic() if now is None else now
