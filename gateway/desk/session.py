"""The session that runs, and how it is shown."""

from dataclasses import dataclass

from cymba.devices.messages import Side
from gateway.desk.recording import SessionRecord
from gateway.store import FrameStore


@dataclass(slots=True)
class RunningSession:
    record: SessionRecord
    side: Side
    level: int | None  # null: not known, the link is lost
    ends_up_ms: int
    written_up_ms: int
    raised_up_ms: int
    waits_since_up_ms: int | None = None  # paused, or without a link


def state_of(session: RunningSession | None, store: FrameStore, now_ms: int) -> str:
    if session is None:
        return "may be on" if store.may_be_on else "off"
    if session.level is None:
        return "NOT KNOWN, may be on"
    if session.waits_since_up_ms is not None:
        return "paused"
    left_s = max(0, session.ends_up_ms - now_ms) // 1000
    return f"level {session.level}, {left_s // 60}:{left_s % 60:02} left"


def minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
