"""The record of a session: its level each second, where that is known, and its events.

Nothing is made up. While the link is lost the level is null. A stimulator that reports no current
has none in any frame.
"""

from typing import Any
from uuid import UUID, uuid4

from cymba.devices.messages import Programme
from cymba.stimulation.wire.messages import (
    EndFrame,
    EndReason,
    Event,
    EventFrame,
    Frame,
    SamplesFrame,
    StartFrame,
)
from gateway.clock import ProgramBoot
from gateway.store import FrameStore, Numbers, OpenSession

SAMPLE_MS = 1000
FRAME_SAMPLES = 10
STALL_SAMPLES = 3  # a busy machine; over that nobody looked


class SessionRecord:
    """Times are `up`. Call `advance` about once a second."""

    def __init__(self, store: FrameStore, boot: ProgramBoot, programme: Programme) -> None:
        self._store, self._boot = store, boot
        self.sid = uuid4()
        self.began_up_ms = boot.up_ms()
        self._chunk_up_ms = self.began_up_ms
        self._levels: list[int | None] = []
        self._batteries_mv: list[int | None] = []
        self._battery_mv: int | None = None
        first = self._write(StartFrame, self.began_up_ms, programme=programme)
        self._first_seq = first.seq
        self.possibly_on_s = 0  # a level above 0, or one that is not known

    def advance(self, up_ms: int, level: int | None) -> None:
        """From here on the level is `level`; None: not known."""
        missed = (up_ms - self._chunk_up_ms) // SAMPLE_MS + 1 - len(self._levels)
        if missed > FRAME_SAMPLES:  # the machine slept: a hole, and not seconds of anything
            self._flush()
            self._chunk_up_ms, missed = up_ms, 1
        for left in range(missed, 0, -1):
            is_seen = left == 1 or missed <= STALL_SAMPLES
            self._levels.append(level if is_seen else None)
            self._batteries_mv.append(self._battery_mv if left == 1 else None)
            self.possibly_on_s += level != 0
            if left == 1:
                self._battery_mv = None
        if len(self._levels) >= FRAME_SAMPLES:
            self._flush()

    def note_battery(self, battery_mv: int) -> None:
        self._battery_mv = battery_mv

    def note(self, name: str) -> None:
        self._flush()
        self._write(EventFrame, self._boot.up_ms(), event=Event(name=name))

    def end(self, reason: EndReason) -> None:
        self._flush()
        self._write(
            EndFrame,
            self._boot.up_ms(),
            reason=reason,
            first_seq=self._first_seq,
            last_seq=self._store.next_seq,
        )
        self._store.note_spent(self._boot.utc_ms(), self.possibly_on_s)

    def _flush(self) -> None:
        if not self._levels:
            return
        columns = {"native_level": self._levels}
        if any(one is not None for one in self._batteries_mv):
            columns["battery_mv"] = self._batteries_mv
        self._write(SamplesFrame, self._chunk_up_ms, dt=SAMPLE_MS, n=len(self._levels), c=columns)
        self._chunk_up_ms += len(self._levels) * SAMPLE_MS
        self._levels, self._batteries_mv = [], []

    def _write(self, kind: type[Frame], up_ms: int, **content: Any) -> Frame:
        utc_ms = self._boot.utc_ms() - (self._boot.up_ms() - up_ms)

        def made(numbers: Numbers) -> Frame:
            return kind(**_head(numbers, self.sid, up_ms), utc=utc_ms, **content)

        return self._store.write(made, boot=self._boot.number)


def end_broken_off(store: FrameStore) -> OpenSession | None:
    """Close the session that an earlier run left open, where its record broke off.

    It is ended in its own boot, before the present one begins. What the stimulator did after that
    is not known, and the record says so.
    """
    left = store.open_session()
    if left is None:
        return None
    up_ms = left.recorded_up_ms
    event = Event(name="record_broken_off", detail={"stimulator": "not known"})
    store.write(
        lambda numbers: EventFrame(**_head(numbers, left.sid, up_ms), event=event), boot=left.boot
    )
    reason = "power_loss" if left.machine_restarted else "firmware_fault"
    store.write(
        lambda numbers: EndFrame(
            **_head(numbers, left.sid, up_ms),
            reason=reason,
            first_seq=left.first_seq,
            last_seq=numbers.seq,
        ),
        boot=left.boot,
    )
    lasted_ms = up_ms - left.began_up_ms
    store.note_spent(left.began_utc_ms + lasted_ms, lasted_ms / 1000)
    return left


def _head(numbers: Numbers, sid: UUID, up_ms: int) -> dict[str, Any]:
    return {
        "v": 1,
        "store": numbers.store,
        "seq": numbers.seq,
        "boot": numbers.boot,
        "sid": sid,
        "up": up_ms,
    }
