"""The bridge's word to itself through the broker: proof that what it holds for us is drained.

A broker keeps one queue for each client, first in, first out. So once a message that we sent to
ourselves is back, everything that the broker had kept for us before it is here as well, and a
device's message that arrives now was sent just now: only then may its arrival time say when it
was sent. It also shows what no other sign does: a connection that stands, but delivers nothing
(a refused access-list entry, a broker without shared subscriptions, one that lost our session).
"""

import time

PERIOD_S = 5.0
SLOW_S = 2.0  # an echo that took longer came out of a backlog
LOST_S = 30.0  # of silence, while an echo is out and nothing of ours can have held it up
# Looks further apart than this say that this process did not run, and nothing of the connection.
LATE_LOOK_S = 5.0


class LoopbackProbe:
    """One echo at a time. `settled` is read in the network thread, with every message, which also
    sets `heard`."""

    def __init__(self) -> None:
        self.settled = False
        self.heard = False  # something has come since the last look
        self._looked_at = self._silent_since = 0.0
        self._sent_at: float | None = None
        self._returned_at: float | None = None
        self._expected = b""
        self._number = 0

    def connected(self) -> None:
        """A new connection: the broker may have kept a backlog for it."""
        self.settled = False
        self._sent_at = self._returned_at = None
        self._expected = b""

    def due(self, now: float | None = None) -> bytes | None:
        """The payload to send to ourselves, if it is time for one."""
        now = _monotonic(now)
        if self._expected:
            since_sent_s = now - (self._sent_at or 0)
            if since_sent_s > SLOW_S:
                self.settled = False
            if since_sent_s <= LOST_S:
                return None
            # The broker has dropped it, as some do where a queue is full: another has to tell.
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
        """This connection seems to deliver nothing at all. To be asked every second or so.

        `busy`: messages are here that are not acked, so the broker may be waiting for us. However
        late an echo is, a connection that delivers anything else is left alone: the echo is in a
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
