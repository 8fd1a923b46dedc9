"""Devices that break one rule of the protocol each, for those who test what listens to devices."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from simulator.distortion import Distortion, Members, OutgoingMessage, edit
from simulator.faults import CLEAN, Behaviour, Profile
from simulator.life import FRAME_S


@dataclass(frozen=True, slots=True)
class Flaw:
    """A way to break `rule`. `behaviour` changes that of a correct device, with any delays."""

    rule: str
    behaviour: Callable[[Behaviour], Behaviour] = field(default=lambda behaviour: behaviour)
    distortion: Callable[[], Distortion] | None = None
    profile: Profile = CLEAN
    frame_s: int = FRAME_S


Change = Callable[[Members], Members]


class Reworded(Distortion):
    """Other members in the messages on one topic, and in a will where that is of the topic."""

    def __init__(self, subject: str, change: Change) -> None:
        self._subject, self._change = subject, change

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        if said.subject == self._subject:
            said = said._replace(payload=edit(said.payload, self._change))
        return (said,)


class Misheard(Distortion):
    """Other members in what the server says of frames."""

    def __init__(self, change: Change) -> None:
        self._change = change

    def hear(self, subject: str, payload: bytes) -> bytes:
        return edit(payload, self._change) if subject == "ack" else payload


class Resaid(Distortion):
    """Frames, or what one change makes of them when they are said for the second time."""

    def __init__(self, change: Change) -> None:
        self._change, self._times = change, Counter[int]()

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        return (
            (said._replace(payload=edit(said.payload, self._edit)),) if _is_frame(said) else (said,)
        )

    def _edit(self, frame: Members) -> Members:
        self._times[frame["seq"]] += 1
        return self._change(frame) if self._times[frame["seq"]] > 1 else frame


class Published(Distortion):
    """Messages on one topic with another QoS or retained flag."""

    def __init__(self, subject: str, *, qos: int = 1, retain: bool = False) -> None:
        self._subject, self._qos, self._retain = subject, qos, retain

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        if said.subject == self._subject:
            said = said._replace(qos=self._qos, retain=self._retain)
        return (said,)


class Elsewhere(Distortion):
    """Presence on a topic that there is not, too."""

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        yield said
        if said.subject == "presence":
            yield said._replace(subject="status", retain=False)


class SkipsANumber(Distortion):
    """One `seq` is left out. What the server says of those after it is put right again."""

    skipped = 30

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        return (
            (said._replace(payload=edit(said.payload, self._out)),) if _is_frame(said) else (said,)
        )

    def hear(self, subject: str, payload: bytes) -> bytes:
        return edit(payload, self._back) if subject == "ack" else payload

    def _out(self, frame: Members) -> Members:
        numbers = {name: frame[name] for name in ("seq", "first_seq", "last_seq") if name in frame}
        return {**frame, **{name: n + (n >= self.skipped) for name, n in numbers.items()}}

    def _back(self, ack: Members) -> Members:
        also = [(n - (n > self.skipped), m - (m > self.skipped)) for n, m in ack.get("also", [])]
        upto = ack["upto"]
        rejected = [
            {**one, "seq": one["seq"] - (one["seq"] > self.skipped)} if "seq" in one else one
            for one in ack.get("rejected", [])
        ]
        return {**ack, "upto": upto - (upto > self.skipped), "also": also, "rejected": rejected}


class NewestFirst(Distortion):
    """Each second frame of samples waits for the one after it."""

    def __init__(self) -> None:
        self._held: OutgoingMessage | None = None
        self._said: set[int] = set()

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        seen: Members = {}
        if _is_frame(said):
            edit(said.payload, lambda frame: seen.update(frame) or frame)
        if seen.get("kind") != "samples" or seen["seq"] in self._said:
            yield said
            return
        self._said.add(seen["seq"])
        if self._held is None:
            self._held = said
            return
        held, self._held = self._held, None
        yield said
        yield held


class TooLarge(Distortion):
    """Now and then a frame in JSON that is mostly blanks."""

    def say(self, said: OutgoingMessage) -> Iterable[OutgoingMessage]:
        seen: Members = {}
        if _is_frame(said):
            edit(said.payload, lambda frame: seen.update(frame) or frame)
        if seen.get("seq", 0) % 40 == 7:
            whole = msgspec.json.encode(seen)
            said = said._replace(payload=whole[:-1] + b" " * 17_000 + b"}")
        return (said,)


class Willed(Distortion):
    """Another last will, or none."""

    def __init__(self, change: Change | None) -> None:
        self._change = change

    def leave(self, will: bytes) -> bytes | None:
        return None if self._change is None else edit(will, self._change)


def _is_frame(said: OutgoingMessage) -> bool:
    return said.subject == "frame"


def _reworded(change: Change, subject: str = "frame") -> Callable[[], Distortion]:
    return lambda: Reworded(subject, change)


def _of_samples(channel: str, value: object) -> Callable[[], Distortion]:
    """Another first value in a column, or another column, now and then."""

    def change(frame: Members) -> Members:
        if frame["kind"] != "samples" or frame["seq"] % 20 != 5:
            return frame
        columns = frame["c"]
        rest = columns.get(channel, [None] * frame["n"])[1:]
        return {**frame, "c": {**columns, channel: [value, *rest]}}

    return _reworded(change)


def _own_session(frame: Members) -> Members:
    return {**frame, "sid": "6f0c2d9e-8a51-4c0e-9d0b-3f6a1c2b4d5e"}


def _earlier_boot(frame: Members) -> Members:
    return {**frame, "boot": frame["boot"] - 1} if 15 < frame["seq"] < 30 else frame


def _sent_of_any_boot(frame: Members) -> Members:
    return {**frame, "sent": frame["up"] + 40}


def _undated(frame: Members) -> Members:
    return {**frame, "utc": frame["up"]}


def _redated(frame: Members) -> Members:
    return {**frame, "utc": frame["up"] + 1_790_000_000_000}


def _ends_early(frame: Members) -> Members:
    return {**frame, "last_seq": frame["last_seq"] - 1} if frame["kind"] == "end" else frame


def _deaf_to_also(ack: Members) -> Members:
    return {**ack, "upto": 0, "also": []}


def _takes_no_for_done(ack: Members) -> Members:
    done = [(one["seq"], one["seq"]) for one in ack.get("rejected", []) if "seq" in one]
    return {**ack, "also": [*ack.get("also", []), *done]}


def _hurried(ack: Members) -> Members:
    return {name: value for name, value in ack.items() if name != "max_frames_per_s"}


def _credulous(report: Members) -> Members:
    return {"ver": report["ver"], "applied": True}


def _own_t2(request: Members) -> Members:
    return {**request, "t2": request["t2"] - 60_000} if "t2" in request else request


FAULTS: Mapping[str, Flaw] = {
    "speaks on another topic": Flaw("R1", distortion=Elsewhere),
    "sends frames with QoS 0": Flaw("R1", distortion=lambda: Published("frame", qos=0)),
    "retains frames": Flaw("R1", distortion=lambda: Published("frame", retain=True)),
    "is back at once": Flaw("R5", lambda b: replace(b, reconnect_at_most_s=0.0)),
    "sends too large frames": Flaw("R7", distortion=TooLarge),
    "adds a member": Flaw("R8", distortion=_reworded(lambda frame: {**frame, "rssi": -60})),
    "writes fractions": Flaw("R9", distortion=_of_samples("skin_temp_mc", 33.5)),
    "skips a number": Flaw("R12", distortion=SkipsANumber),
    "reuses numbers": Flaw("R13", lambda b: replace(b, reuses_keys=True)),
    "has one session id": Flaw("R15", distortion=_reworded(_own_session)),
    "falls back a boot": Flaw("R16", distortion=_reworded(_earlier_boot)),
    "says sent of an old boot": Flaw("R17", distortion=_reworded(_sent_of_any_boot)),
    "thinks that it is 1970": Flaw("R18", distortion=_reworded(_undated)),
    "sends mA and kOhm": Flaw("R19", lambda b: replace(b, wrong_units=True)),
    "sends what no sensor gives": Flaw("R21", distortion=_of_samples("heart_rate_bpm", 0)),
    "names a channel badly": Flaw("R22", distortion=_of_samples("SpO2", None)),
    "sends a minute at once": Flaw("R23", frame_s=60),
    "ends a session too early": Flaw("R24", distortion=_reworded(_ends_early)),
    "frees before the ack": Flaw("R25", lambda b: replace(b, frees_before_ack=True)),
    "never frees": Flaw("R25", distortion=lambda: Misheard(_deaf_to_also)),
    "has sixty outstanding": Flaw("R27", lambda b: replace(b, max_outstanding=60)),
    "resends too fast": Flaw("R28", lambda b: replace(b, resend_after_s=b.resend_after_s / 10)),
    # A little short, within what a listener forgives, or the jitter of a delay might hide it.
    "never doubles a delay": Flaw(
        "R28", lambda b: replace(b, resend_at_most_s=0.8 * b.resend_after_s)
    ),
    "takes a retry for an end": Flaw("R29", distortion=lambda: Misheard(_takes_no_for_done)),
    "sends the newest first": Flaw("R30", distortion=NewestFirst),
    "keeps to no rate": Flaw("R31", distortion=lambda: Misheard(_hurried)),
    "retains no presence": Flaw("R36", distortion=lambda: Published("presence")),
    "leaves no will": Flaw("R36", distortion=lambda: Willed(None)),
    "leaves another's will": Flaw(
        "R36", distortion=lambda: Willed(lambda will: {**will, "sent": will["sent"] + 1})
    ),
    "waits for no answer": Flaw("R37", lambda b: replace(b, answer_awaited_s=0.0)),
    "never asks for the time": Flaw("R38", profile=replace(CLEAN, old_firmware_per_device=1.0)),
    "confirms another time": Flaw("R38", distortion=_reworded(_own_t2, "time")),
    "dates frames anew": Flaw("R39", distortion=lambda: Resaid(_redated)),
    "believes a forged programme": Flaw("R40", distortion=_reworded(_credulous, "state")),
    "follows a stranger": Flaw("R44", lambda b: replace(b, follows_anybody=True)),
    "goes back to an older programme": Flaw("R40", lambda b: replace(b, ignores_versions=True)),
}
"""By what the device does. Cut connections, and a server that loses acks, bring most of it out."""
