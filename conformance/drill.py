"""A server for one device that misbehaves on purpose, to provoke rare situations.

It withholds acks, cuts the connection, answers presence slowly, rejects a frame with `retry`, loses
the acks of another, sends an old ack late, sets a rate limit, and sends a programme and the name of
another broker without a valid signature. It stores nothing: frames that it acknowledges are lost.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from conformance.moves import Moves
from conformance.story import Key, parse
from conformance.trace import Expected, FromDevice, ProtocolTimes
from cymba.database import utc_now
from cymba.devices.clocks import to_ms
from cymba.devices.messages import Desired, Presence, ReportedState, TimeReply, TimeRequest
from cymba.devices.models import MODELS, Model, usual_programme
from cymba.devices.signing import sign
from cymba.stimulation.wire.frames import Unreadable, decode
from cymba.stimulation.wire.messages import Ack, AnyMessage, Rejection, to_cbor, to_json
from cymba.stimulation.wire.seq_ranges import SeqRanges

PACE_PER_S = 4.0
PACE_S = 4.0
HOLD_S = 2.5  # the five seconds that an answer to presence may take, used up by half
HEARD_ALONE = 3  # how often the frame without acks is sent on one connection: two delays
BACK_WITHIN_S = 30.0
UNSIGNED_VER = 2**31  # above any that a device holds
IGNORED_WITHIN_S = 2.0
A_DAY_S = 86_400  # longer than any model allows a session to be


class Publish(NamedTuple):
    subject: str
    payload: bytes
    expected: Expected | None = None


class Evict(NamedTuple):
    """Cut the device's connection, if possible."""


Action = Publish | Evict


class Phase(Enum):
    WITHHOLDING = auto()  # until the first frame is due to be resent
    AWAY = auto()  # the connection was cut
    RESENDING = auto()  # until each frame was resent
    PACING = auto()
    ANSWERING = auto()  # correctly, except for one frame


@dataclass(frozen=True, slots=True)
class Programmes:
    """The signing key, and the version to send: one above what the device holds."""

    key: Ed25519PrivateKey
    ver: int


@dataclass(slots=True)
class Drill:
    """Called with each message and at intervals; returns what to do. Seconds are monotonic."""

    device_id: str
    timing: ProtocolTimes
    programmes: Programmes | None = None
    cuts: bool = True  # the device's connection
    moves: bool = True  # tells it of other brokers
    phase: Phase = Phase.WITHHOLDING
    since_s: float | None = None  # when this phase began, or when withholding acks began
    model: Model = MODELS["ear_cymba"]
    cbor: bool = False
    heard_on_connection: Counter[Key] = field(default_factory=Counter)
    withheld: set[Key] = field(default_factory=set)
    resolved: set[Key] = field(default_factory=set)
    presence_due: tuple[float, int] | None = None  # when to answer it, and its store
    upto: dict[int, int] = field(default_factory=dict)
    was_cut: bool = False  # the device is on a second connection
    alone: Key | None = None  # the frame that gets no ack
    alone_since_s: float = 0.0
    refused: Key | None = None
    refused_s: float = 0.0
    finished_s: float | None = None  # when the last programme was sent
    programme_steps: Iterator[tuple[Expected, Desired]] | None = None
    programme: tuple[Expected, Desired] | None = None
    programme_since_s: float = 0.0
    programmes_over: bool = False
    others: Moves = field(init=False)

    def __post_init__(self) -> None:
        key = None if self.programmes is None else self.programmes.key
        self.others = Moves(self.device_id, self.timing, key)

    def is_over(self, now_s: float) -> bool:
        """Everything was provoked, and a faulty device has had the time to show it."""
        calm_s = self.timing.resend_due_s(0) + self.timing.grace_s
        if self.finished_s is None or not self.programmes_over:
            return False
        if self.moves and not self.others.over:
            return False
        began_s = self.finished_s
        if self.refused is not None and self.refused not in self.resolved:
            began_s = max(began_s, self.refused_s)
        return now_s - began_s > calm_s

    def hear(self, heard: FromDevice, now_s: float) -> list[Action]:
        if heard.retained:
            return []
        self.cbor = heard.payload[:1] != b"{"
        match heard.topic:
            case "up/time":
                return self._tell_time(parse(heard.payload, TimeRequest))
            case "up/presence":
                return self._meet(parse(heard.payload, Presence), now_s)
            case "up/frame":
                return self._take(heard.payload, now_s)
            case "up/state":
                return self._note_report(parse(heard.payload, ReportedState), now_s)
        return []

    def tick(self, now_s: float) -> list[Action]:
        actions: list[Action] = []
        if self.presence_due is not None and now_s >= self.presence_due[0]:
            store = self.presence_due[1]
            self.presence_due = None
            actions.append(self._ack(store))
            if self.phase is Phase.AWAY:
                self._enter(Phase.RESENDING, now_s)
        if self.since_s is None:
            return actions
        passed_s = now_s - self.since_s
        match self.phase:
            case Phase.WITHHOLDING if passed_s >= self.timing.resend_s:
                self._enter(Phase.AWAY if self.cuts else Phase.RESENDING, now_s)
                if self.cuts:
                    actions.append(Evict())
            case Phase.AWAY if passed_s > BACK_WITHIN_S:
                self._enter(Phase.RESENDING, now_s)
            case Phase.RESENDING if self._all_came_again(passed_s):
                actions += self._begin_pacing(now_s)
            case Phase.PACING if passed_s >= PACE_S:
                self._enter(Phase.ANSWERING, now_s)
                actions += self._ack_all()
            case Phase.ANSWERING:
                actions += self._go_on(now_s)
        return actions

    def cannot_evict(self, now_s: float) -> None:
        self._enter(Phase.RESENDING, now_s)

    # Messages of the device.

    def _tell_time(self, request: TimeRequest | str) -> list[Action]:
        if isinstance(request, str) or request.u4 is not None:
            return []
        now_ms = to_ms(utc_now())
        reply = TimeReply(boot=request.boot, u1=request.u1, t2=int(now_ms), t3=int(now_ms))
        return [self._publish("time", reply)]

    def _meet(self, presence: Presence | str, now_s: float) -> list[Action]:
        if isinstance(presence, str):
            return []
        self.others.hear(presence)
        if not presence.online:
            return []
        self.model = MODELS.get(presence.model or "", self.model)
        held_s = HOLD_S if self.phase is Phase.AWAY else 0.0
        if self.phase is Phase.AWAY and self.presence_due is None:
            self.was_cut = True
            self.heard_on_connection.clear()
        self.presence_due = (now_s + held_s, presence.store)
        return self.tick(now_s)

    def _take(self, payload: bytes, now_s: float) -> list[Action]:
        read = decode(payload)
        if read.store is None or read.seq is None:
            return []
        key = (read.store, read.seq)
        self.heard_on_connection[key] += 1
        if self.phase in {Phase.WITHHOLDING, Phase.AWAY, Phase.RESENDING}:
            self.since_s = now_s if self.since_s is None else self.since_s
            self.withheld.add(key)
            return []
        if key == self.alone:
            return []
        if self.refused is None and key not in self.withheld:
            self.refused, self.refused_s = key, now_s
            rejection = Rejection(code="server", detail="a drill", retry=True, seq=key[1])
            return [self._ack(key[0], [], rejected=[rejection])]
        self.resolved.add(key)
        rejected = []
        if isinstance(read, Unreadable):
            rejected.append(
                Rejection(code=read.code, detail=read.detail, retry=False, seq=read.seq)
            )
        return [self._ack(key[0], [key[1]], rejected=rejected)]

    # What the drill does.

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self.since_s = phase, now_s

    def _all_came_again(self, passed_s: float) -> bool:
        sendings = 1 if self.was_cut else 2
        came = all(self.heard_on_connection[key] >= sendings for key in self.withheld)
        return came or passed_s > self.timing.resend_due_s(0) + self.timing.grace_s

    def _begin_pacing(self, now_s: float) -> list[Action]:
        self._enter(Phase.PACING, now_s)
        self.alone, self.alone_since_s = min(self.withheld, default=None), now_s
        self.resolved |= self.withheld - {self.alone}
        return self._ack_all()

    def _go_on(self, now_s: float) -> list[Action]:
        actions: list[Action] = []
        if self.alone is not None and self._was_alone_long_enough(now_s):
            store = self.alone[0]
            self.resolved.add(self.alone)
            self.alone = None
            # The second ack is older than the first, as if it had been delayed.
            older = self._publish("ack", Ack(store=store, upto=0))
            actions += [self._ack(store), older]
        if self.alone is None and self.finished_s is None:
            self.finished_s = now_s
        actions += self._teach(now_s)
        if self.moves and self.programmes_over and self.finished_s is not None:
            step = self.others.next(now_s)
            if step is not None:
                actions.append(self._publish("broker", step[1], step[0]))
        return actions

    def _was_alone_long_enough(self, now_s: float) -> bool:
        longest_s = sum(self.timing.resend_due_s(doublings) for doublings in range(2))
        came = self.heard_on_connection[self.alone or (0, 0)] >= HEARD_ALONE
        return came or now_s - self.alone_since_s > longest_s

    def _teach(self, now_s: float) -> list[Action]:
        """Send one programme after another, each once the one before was reported or ignored."""
        if self.programmes_over:
            return []
        if self.programme is not None:
            waits_s = (
                IGNORED_WITHIN_S if self.programme[0] == "ignored" else self.timing.report_within_s
            )
            if now_s - self.programme_since_s <= waits_s:
                return []
        if self.programme_steps is None:
            self.programme_steps = self._programmes()
        self.programme = next(self.programme_steps, None)
        self.programme_since_s = now_s
        if self.programme is None:
            self.programmes_over = True
            return []
        expected, desired = self.programme
        return [self._publish("desired", desired, expected)]

    def _note_report(self, report: ReportedState | str, now_s: float) -> list[Action]:
        if isinstance(report, ReportedState) and self.programme is not None:
            expected, desired = self.programme
            if report.ver == desired.ver and expected != "ignored":
                self.programme_since_s = now_s - self.timing.report_within_s
        return []

    def _programmes(self) -> Iterator[tuple[Expected, Desired]]:
        if not self.model.settable:
            return
        programme = usual_programme(self.model)
        ver = UNSIGNED_VER if self.programmes is None else self.programmes.ver

        def signed(key: Ed25519PrivateKey, ver: int, *, duration_s: int | None = None) -> Desired:
            of_length = replace(programme, duration_s=duration_s or programme.duration_s)
            return sign(key, self.device_id, Desired(ver=ver, programme=of_length, limits={}))

        yield "refused", signed(Ed25519PrivateKey.generate(), ver)
        if self.programmes is not None:
            key = self.programmes.key
            yield "reported", signed(key, ver)
            yield "ignored", signed(key, ver - 1)
            yield "refused", signed(key, ver + 1, duration_s=A_DAY_S)

    # Messages.

    def _ack_all(self) -> list[Action]:
        return [self._ack(store) for store in {key[0] for key in self.resolved}]

    def _ack(
        self, store: int, seqs: list[int] | None = None, rejected: list[Rejection] | None = None
    ) -> Publish:
        """Acknowledge `seqs`, or everything. It has an `upto` only if all frames from 1 on were
        heard."""
        if seqs is None:
            seqs = sorted(seq for of, seq in self.resolved if of == store)
        upto = self.upto.get(store, 0)
        while (store, upto + 1) in self.resolved:
            upto += 1
        self.upto[store] = upto
        ack = Ack(
            store=store,
            upto=upto,
            also=[one for one in SeqRanges.of_sorted(seqs).ranges() if one[1] > upto],
            rejected=rejected or [],
            max_frames_per_s=PACE_PER_S if self.phase is Phase.PACING else None,
        )
        return self._publish("ack", ack)

    def _publish(
        self, subject: str, message: AnyMessage, expected: Expected | None = None
    ) -> Publish:
        return Publish(subject, to_cbor(message) if self.cbor else to_json(message), expected)
