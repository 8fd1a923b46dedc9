"""The bounded queue from the network thread to the writer thread."""

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from cymba.stimulation.ingest.decide import Delivery
from mqtt_bridge.topics import Subject

# Backpressure: when this many deliveries wait, the bridge stops reading its socket, so TCP holds
# the broker back and memory stays bounded (at most 16 KiB a frame). A broker with a smaller window,
# as the shipped Mosquitto, never fills the queue.
QUEUE_LIMIT = 10_000
# A batch of the largest frames is smaller: it is copied for the database, and several wait to be
# acked.
BATCH_BYTES = 16 * 1024 * 1024


class IncomingMessage(Delivery, eq=False, gc=False, kw_only=True):
    """A received message. `connection` counts this process's connections to the broker: `packet_id`
    is valid on that one only."""

    number: int  # of this process's deliveries: the delivery id of the log
    connection: int
    packet_id: int  # 0 for QoS 0, which needs no ack
    subject: Subject
    retained: bool  # an earlier message, sent because we subscribed
    max_frames_per_s: float | None = None  # the rate limit to send to the device


class DeliveryQueue:
    """The bounded queue between the two threads: runs of deliveries go in, batches come out."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._queue: SimpleQueue[Sequence[IncomingMessage] | None] = SimpleQueue()
        self._limit = limit
        self._put = self._taken = 0  # deliveries; each is counted by one thread only
        self._left: Sequence[IncomingMessage] = ()  # of a run that was taken in part
        self._room = threading.Event()
        self._room.set()
        self._closed = False

    def __len__(self) -> int:
        return self._put - self._taken

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def put(self, run: Sequence[IncomingMessage]) -> bool:
        """Queue a run, waiting while the queue is full. False once the queue is closed: the
        deliveries are then not acked, so the broker or the devices send them again."""
        if len(self) >= self._limit:
            self._room.clear()
            if len(self) < self._limit:  # the writer took some in between
                self._room.set()
            self._room.wait()
        if self._closed:
            return False
        self._put += len(run)
        self._queue.put(run)
        return True

    def take(self, limit: int) -> list[IncomingMessage]:
        """Wait for a delivery. Return all that are there, up to `limit` and to the run that makes
        `BATCH_BYTES` full.

        Empty only once the queue is closed and everything in it was taken.
        """
        following = self._left or self._queue.get()
        taken: list[IncomingMessage] = []
        taken_bytes = 0
        self._left = ()
        while following is not None:
            room = limit - len(taken)
            some = following[:room]
            taken += some
            taken_bytes += sum([len(one.payload) for one in some])
            if len(following) >= room or taken_bytes >= BATCH_BYTES:
                self._left = following[room:]
                break
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
        else:
            self._queue.put(None)  # the end marker stays for the next call
        self._taken += len(taken)
        # Soon again: a network thread that waits here sends no acks either.
        if not self._room.is_set() and len(self) < self._limit * 9 // 10:
            self._room.set()
        return taken

    def close(self) -> None:
        """Accept no more. `take` returns what is left, then an empty list."""
        self._closed = True
        self._room.set()
        self._queue.put(None)
