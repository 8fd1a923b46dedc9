"""How fast each device and each account may go on, judged as their frames arrive.

It is judged in the network thread, before a frame is queued or read: so a flood costs its device
its frames' turn, and neither the queue nor the writer. A frame that is held off is not lost, since
its device keeps it until the acknowledgement. Of presence and state only the newest is worth
anything: that one waits (`intake`), and what it replaces is dropped.
"""

import time
from collections import OrderedDict, deque

from cymba.devices.rate_limits import Admission, RateLimits
from cymba.stimulation.ingest.decide import payload_name
from cymba.stimulation.wire.frames import decode
from cymba.stimulation.wire.messages import MAX_PAYLOAD_BYTES, Ack, Rejection

TELL_AGAIN_S = 1.0
# A device that keeps the protocol has 20 frames outstanding and sends each again after 30 s and
# more: from the limit on it sends about one a second. Thousands more are no mistake.
FLOOD_FRAMES = 3_000
FLOOD_S = 10.0
MOST_TOLD = 10_000


class IncomingRateLimits:
    """`holders` gives a device's account, where the writer has learnt it."""

    def __init__(self, holders: dict[str, str], flow: RateLimits | None = None) -> None:
        self._holders = holders
        self._flow = flow or RateLimits()
        self._told_at_s: OrderedDict[str, float] = OrderedDict()
        self._held_off: dict[str, int] = {}  # how many messages of each device in this span
        self._span_began_s = time.monotonic()
        self.flooding: deque[str] = deque()  # devices to be kept out; whoever does it takes them

    def admit(self, device_id: str, payload_bytes: int) -> Admission:
        account_id = self._holders.get(device_id)
        return self._flow.admit(device_id, payload_bytes, time.monotonic(), account_id=account_id)

    def admit_message(self, device_id: str) -> bool:
        """Whether a message that is no frame may go on."""
        return self._flow.admit_message(device_id, time.monotonic())

    def count_held_off(self, device_id: str) -> None:
        now_s = time.monotonic()
        if now_s - self._span_began_s > FLOOD_S:
            self._held_off.clear()
            self._span_began_s = now_s
        count = self._held_off.get(device_id, 0) + 1
        self._held_off[device_id] = count
        if count == FLOOD_FRAMES:
            self.flooding.append(device_id)

    def refusal(self, device_id: str, payload: bytes, pace: float | None) -> Ack | None:
        """What to tell a device whose frame is held off; None if it was told a moment ago.

        So a flood is not answered with another. The frames that are not named are sent again in
        their time, like any without an answer.
        """
        now_s = time.monotonic()
        told_at_s = self._told_at_s.get(device_id)
        if told_at_s is not None and now_s - told_at_s < TELL_AGAIN_S:
            return None
        self._told_at_s[device_id] = now_s
        self._told_at_s.move_to_end(device_id)
        if len(self._told_at_s) > MOST_TOLD:
            self._told_at_s.popitem(last=False)
        read = decode(payload) if len(payload) <= MAX_PAYLOAD_BYTES else None
        seq = read.seq if read else None
        rejection = Rejection(
            code="rate",
            detail="the frames come too fast",
            retry=True,
            seq=seq,
            payload=payload_name(payload) if seq is None else None,
        )
        store = read.store if read else None
        # 0: nothing new is resolved. A device goes by the highest that it was told.
        return Ack(store=store, upto=0, rejected=[rejection], max_frames_per_s=pace)
