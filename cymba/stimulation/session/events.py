"""What happened in a session, in order: its beginning, the device's events, and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cymba.devices.clocks import DeviceClocks, from_ms
from cymba.stimulation.archive.read_frame import ReadFrame
from cymba.stimulation.session.timing import place
from cymba.stimulation.wire.messages import EndFrame, EventFrame, StartFrame


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """`name` is `start`, `end`, `reboot`, or the name that the device gave."""

    at: datetime
    offset_ms: int  # since the session's `started_at`
    name: str
    detail: dict[str, Any] | None


def session_events(frames: Sequence[ReadFrame], clocks: DeviceClocks) -> list[SessionEvent]:
    """The events of a session of at least one frame, in order of time."""
    timing = place(frames, clocks)
    ordered = sorted(frames, key=lambda r: (timing.at_ms(r.frame), r.frame.store, r.frame.seq))
    started_ms = timing.at_ms(ordered[0].frame)
    events: list[SessionEvent] = []
    boots = {(ordered[0].frame.store, ordered[0].frame.boot)}

    def add(at_ms: int, name: str, detail: dict[str, Any] | None = None) -> None:
        events.append(SessionEvent(from_ms(at_ms), at_ms - started_ms, name, detail))

    for read in ordered:
        frame, at_ms = read.frame, timing.at_ms(read.frame)
        if (frame.store, frame.boot) not in boots:
            boots.add((frame.store, frame.boot))
            add(at_ms, "reboot", {"boot": frame.boot})
        match frame:
            case StartFrame():
                add(at_ms, "start")
            case EventFrame():
                add(at_ms, frame.event.name, frame.event.detail)
            case EndFrame():
                add(at_ms, "end", {"reason": frame.reason})
            case _:
                pass
    return events
