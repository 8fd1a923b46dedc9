"""A trace, interpreted: which frame each payload was, on which connection, and the answers."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from conformance.trace import (
    Ended,
    Entry,
    Evicted,
    Expected,
    FromDevice,
    Probed,
    QosRaised,
    ToDevice,
)
from cymba.stimulation.wire.frames import decode
from cymba.stimulation.wire.messages import (
    Ack,
    Desired,
    Frame,
    Presence,
    Relocation,
    ReportedState,
    TimeReply,
    TimeRequest,
)
from cymba.stimulation.wire.parsing import UNREADABLE, read_message
from cymba.stimulation.wire.unreadable import Unreadable

Key = tuple[int, int]  # store, seq
Message = TypeVar(
    "Message",
    bound=Ack | Desired | Presence | Relocation | ReportedState | TimeReply | TimeRequest,
)


@dataclass(frozen=True, slots=True)
class Sending:
    """One publish of a frame. `read` is how the server would read it."""

    at_s: float
    payload: bytes
    read: Frame | Unreadable
    present: tuple[int, int] | None  # store and boot of the device's last presence

    @property
    def key(self) -> Key | None:
        store, seq = self.read.store, self.read.seq
        return None if store is None or seq is None else (store, seq)

    @property
    def frame(self) -> Frame | None:
        return None if isinstance(self.read, Unreadable) else self.read


@dataclass(frozen=True, slots=True)
class PresenceHeard:
    """Presence as it was published, or as it is retained. `connects`: it is of a new connection."""

    at_s: float
    presence: Presence
    retained: bool
    connects: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    at_s: float
    request: TimeRequest


@dataclass(frozen=True, slots=True)
class Replied:
    at_s: float
    reply: TimeReply


@dataclass(frozen=True, slots=True)
class Acked:
    at_s: float
    ack: Ack


@dataclass(frozen=True, slots=True)
class Desiring:
    at_s: float
    desired: Desired
    expected: Expected | None


@dataclass(frozen=True, slots=True)
class Relocating:
    """It is told of another broker."""

    at_s: float
    relocation: Relocation
    expected: Expected | None


@dataclass(frozen=True, slots=True)
class Reported:
    at_s: float
    report: ReportedState


@dataclass(frozen=True, slots=True)
class MalformedMessage:
    """A message that does not fit its topic."""

    at_s: float
    topic: str
    detail: str


Happening = (
    Sending
    | PresenceHeard
    | Asked
    | Replied
    | Acked
    | Desiring
    | Relocating
    | Reported
    | MalformedMessage
    | Evicted
    | Probed
    | QosRaised
)


@dataclass(slots=True)
class Story:
    happenings: list[Happening] = field(default_factory=list)
    heard: list[FromDevice] = field(default_factory=list)
    began_s: float = 0.0
    ended_s: float = 0.0

    def all(self, type_: type["Kind"]) -> list["Kind"]:
        return [one for one in self.happenings if isinstance(one, type_)]


Kind = TypeVar("Kind", bound=Happening)

_UP: dict[str, type[Presence] | type[TimeRequest] | type[ReportedState]] = {
    "up/presence": Presence,
    "up/time": TimeRequest,
    "up/state": ReportedState,
}
_DOWN: dict[str, type[Ack] | type[TimeReply] | type[Desired] | type[Relocation]] = {
    "ack": Ack,
    "time": TimeReply,
    "desired": Desired,
    "broker": Relocation,
}


def read(trace: Iterable[Entry]) -> Story:
    story = Story()
    present: tuple[int, int] | None = None
    last: Presence | None = None
    for entry in trace:
        story.began_s = story.began_s or entry.at_s
        story.ended_s = entry.at_s
        match entry:
            case FromDevice():
                story.heard.append(entry)
                happening = _heard(entry, present)
                if isinstance(happening, PresenceHeard):
                    said = happening.presence
                    if said.online:
                        present = said.store, said.boot
                    if not happening.retained:
                        # A device may repeat that it is online. Then `sent` is the same.
                        connects = said.online and not (
                            last is not None
                            and last.online
                            and _connection(last) == _connection(said)
                        )
                        happening = replace(happening, connects=connects)
                        last = said
            case ToDevice():
                happening = _to_device(entry)
            case Evicted() | Probed() | QosRaised():
                happening = entry
            case Ended():
                happening = None
        if happening is not None:
            story.happenings.append(happening)
    return story


def _connection(presence: Presence) -> tuple[int, int, int]:
    return presence.store, presence.boot, presence.sent


def _heard(heard: FromDevice, present: tuple[int, int] | None) -> Happening | None:
    if heard.topic == "up/frame" and not heard.retained:
        return Sending(heard.at_s, heard.payload, decode(heard.payload), present)
    type_ = _UP.get(heard.topic)
    if type_ is None or (heard.retained and not heard.payload):
        return None
    message = parse(heard.payload, type_)
    if isinstance(message, Presence):
        return PresenceHeard(heard.at_s, message, heard.retained)
    # Retained messages on other topics are a fault of their own, and may be old.
    return None if heard.retained else _passing(heard, message)


def _passing(heard: FromDevice, message: TimeRequest | ReportedState | str) -> Happening:
    match message:
        case TimeRequest():
            return Asked(heard.at_s, message)
        case ReportedState():
            return Reported(heard.at_s, message)
    return MalformedMessage(heard.at_s, heard.topic, message)


def _to_device(sent: ToDevice) -> Happening | None:
    """None if it is not a message of the protocol, which is the server's fault."""
    type_ = _DOWN.get(sent.subject)
    match parse(sent.payload, type_) if type_ is not None else None:
        case Ack() as ack:
            return Acked(sent.at_s, ack)
        case TimeReply() as reply:
            return Replied(sent.at_s, reply)
        case Desired() as desired:
            return Desiring(sent.at_s, desired, sent.expected)
        case Relocation() as relocation:
            return Relocating(sent.at_s, relocation, sent.expected)
    return None


def parse(payload: bytes, type_: type[Message]) -> Message | str:
    """The message, or why it cannot be read."""
    try:
        return read_message(payload, type_)
    except (*UNREADABLE, AssertionError) as error:  # raised by an ack that contradicts itself
        return str(error)[:200] or type(error).__name__
