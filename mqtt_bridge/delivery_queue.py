"""What the network thread hands to the writer thread, and the bounded queue between them."""

import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from cymba.stimulation.ingest.decide import Delivery
from mqtt_bridge.topics import Subject

# Deliveries that wait for the writer. A broker whose window is smaller (the shipped Mosquitto's
# is 2,000) never fills it; with one that has no window, the bridge stops reading its socket here,
# so that TCP holds the broker back and the bridge's memory stays bounded (16 KiB a frame at most).
QUEUE_LIMIT = 10_000


@dataclass(slots=True, eq=False, kw_only=True)
class IncomingMessage(Delivery):
    """One message as it came; a frame is taken in as it is. `connection` counts this process's
    connections to the broker: `packet_id` means something on that one only."""

    number: int  # of this process's deliveries: the delivery id of the log
    connection: int
    packet_id: int  # 0 for QoS 0, which wants no ack
    subject: Subject
    retained: bool  # the broker's copy of an earlier message, sent because we subscribed
    max_frames_per_s: float | None = None  # that the device is to keep to from now on


class DeliveryQueue:
    """The queue between the two threads: many at a time out of it, and a bound on what waits."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._queue: SimpleQueue[IncomingMessage | None] = SimpleQueue()
        self._limit = limit
        self._room = threading.Event()
        self._room.set()
        self._closed = False

    def __len__(self) -> int:
        return self._queue.qsize()

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def put(self, delivery: IncomingMessage) -> bool:
        """Queue it, waiting while there is no room. False once the inbox is closed: the delivery
        was not taken, and since nobody acks it the broker or the device sends it again."""
        if self._queue.qsize() >= self._limit:
            self._room.clear()
            if self._queue.qsize() < self._limit:  # the writer took some in between
                self._room.set()
            self._room.wait()
        if self._closed:
            return False
        self._queue.put(delivery)
        return True

    def take(self, limit: int) -> list[IncomingMessage]:
        """Wait for a delivery; then all that are there, up to `limit`, without waiting for more.

        Empty only once the inbox is closed and everything in it was taken.
        """
        following = self._queue.get()
        taken: list[IncomingMessage] = []
        while following is not None:
            taken.append(following)
            if len(taken) == limit:
                break
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
        else:
            self._queue.put(None)  # the mark of the end stays, for the next call
        # Soon again: a network thread that waits here sends no acks either.
        if not self._room.is_set() and self._queue.qsize() < self._limit * 9 // 10:
            self._room.set()
        return taken

    def close(self) -> None:
        """Take nothing more in; `take` gives what is left, then an empty list."""
        self._closed = True
        self._room.set()
        self._queue.put(None)
