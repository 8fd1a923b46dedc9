"""Judges what a device keeps, resends and frees: the rules of acknowledgement."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.frames import name, reused
from conformance.judgement import Tally
from conformance.story import Acked, Key, PresenceHeard, Sending, Story
from conformance.trace import ProtocolTimes
from cymba.stimulation.wire.messages import Ack, StartFrame

MOST_OUTSTANDING = 20
LATE_RESENDS = 2  # of an acknowledged frame: one ack may have been lost


@dataclass(slots=True)
class _SentFrame:
    """A frame that the device has sent, and the server's answers."""

    sent_s: float
    doublings: int = 0  # of the present backoff
    refused: bool = False  # rejected with `retry`
    resolved_s: float | None = None
    late: int = 0  # resends after that
    late_before_stale: bool = False


@dataclass(slots=True)
class _Pace:
    began_s: float
    per_s: float
    frames: int = 0


@dataclass(slots=True)
class FlashJudge:
    """Follows a story. If `acks_are_heard` is false, the server's answers are unknown."""

    timing: ProtocolTimes
    tally: Tally
    acks_are_heard: bool
    reused: set[Key] = field(default_factory=set)
    frames: dict[Key, _SentFrame] = field(default_factory=dict)
    kept: dict[Key, _SentFrame] = field(default_factory=dict)  # those that are not resolved
    last_first: dict[tuple[int, object], int] = field(default_factory=dict)
    # The same when a connection ended: later ones may have been sent over it and never heard.
    heard_before: dict[tuple[int, object], int] = field(default_factory=dict)
    first_known_s: float = 0.0
    upto: dict[int, int] = field(default_factory=dict)
    online: bool = True
    connected_s: float = 0.0
    answer_awaited_s: float | None = None  # since when
    stale_s: float | None = None  # when an ack arrived that was older than another
    pace: _Pace | None = None

    def follow(self, story: Story) -> None:
        self.connected_s = story.began_s
        # Before that, a frame may have been sent before the listener heard it.
        self.first_known_s = story.began_s + self.timing.resend_due_s(0)
        self.reused = reused(story.all(Sending))
        for happening in story.happenings:
            match happening:
                case PresenceHeard(at_s, _, _, True):
                    self._connected(at_s)
                case PresenceHeard(at_s, presence, False) if not presence.online:
                    self._left(at_s)
                case Sending():
                    self._sent(happening)
                case Acked(at_s, ack):
                    self._acked(at_s, ack)
        self._end(story.ended_s)

    def _left(self, at_s: float) -> None:
        if self.online:
            self._overdue(at_s, self.kept)
        self.online = False

    def _connected(self, at_s: float) -> None:
        self.online = True
        self.connected_s = self.answer_awaited_s = at_s
        self.heard_before = self.last_first | self.heard_before
        for frame in self.kept.values():
            frame.doublings = 0

    def _sent(self, sending: Sending) -> None:
        key, at_s = sending.key, sending.at_s
        if key is None:
            return
        if self.pace is not None:
            self.pace.frames += 1
        frame = self.frames.get(key)
        if frame is None:
            self._in_order(sending, key)
            self.frames[key] = frame = _SentFrame(at_s)
            if key[1] <= self.upto.get(key[0], 0):
                # A busy broker may deliver the ack first, which does not wait for any PUBACK.
                frame.resolved_s = at_s
            else:
                self.kept[key] = frame
        elif frame.resolved_s is None:
            self._sent_again(frame, key, at_s)
        elif key not in self.reused:
            self._sent_late(frame, key, at_s)
        self._count_outstanding(at_s)

    def _in_order(self, sending: Sending, key: Key) -> None:
        frame = sending.frame
        if frame is None:
            return
        session = (frame.store, frame.sid)
        if isinstance(frame, StartFrame) and sending.at_s > self.first_known_s:
            self.last_first[session] = key[1]
        elif session in self.last_first:
            before = self.last_first[session]
            may_be_resent = self.heard_before.get(session, before) < key[1] < before
            if not may_be_resent:
                self.tally.judge("R30", key[1] > before, f"{name(key)} was sent after seq {before}")
            self.last_first[session] = max(before, key[1])

    def _sent_again(self, frame: _SentFrame, key: Key, at_s: float) -> None:
        timing, tally = self.timing, self.tally
        waited_s = at_s - frame.sent_s
        if self.acks_are_heard:
            least_s = min(timing.resend_s * 2.0**frame.doublings, timing.resend_at_most_s)
            tally.judge(
                "R28",
                waited_s >= least_s * (1 - timing.slack),
                f"{name(key)} was resent after {waited_s:.1f} s, before {least_s:g} s had passed",
            )
            tally.keeps("R29" if frame.refused else "R25")
        if self.answer_awaited_s is not None:
            since_s = at_s - self.answer_awaited_s
            if since_s < timing.answer_s * (1 - timing.slack):
                tally.breaks("R37", f"{name(key)} was resent {since_s:.1f} s after presence")
        # On a new connection the backoff begins anew.
        frame.doublings = 0 if frame.sent_s < self.connected_s else frame.doublings + 1
        frame.sent_s, frame.refused = at_s, False

    def _sent_late(self, frame: _SentFrame, key: Key, at_s: float) -> None:
        """A frame that the server has acknowledged. One resend may have crossed the ack."""
        resolved_s = frame.resolved_s or at_s
        if at_s - resolved_s < self.timing.grace_s / 2:
            return
        frame.late += 1
        if self.stale_s is not None and resolved_s < self.stale_s and not frame.late_before_stale:
            self.tally.breaks("R26", f"{name(key)} was resent after an older ack")
        elif frame.late >= LATE_RESENDS:
            self.tally.breaks("R25", f"{name(key)} was resent although it was acknowledged")
        frame.late_before_stale = frame.late_before_stale or self.stale_s is None

    def _count_outstanding(self, at_s: float) -> None:
        if not self.acks_are_heard:
            return
        since_s = at_s - self.timing.resend_s * (1 - self.timing.slack)
        count = sum(frame.sent_s > since_s for frame in self.kept.values())
        self.tally.judge("R27", count <= MOST_OUTSTANDING, f"{count} frames were outstanding")

    def _acked(self, at_s: float, ack: Ack) -> None:
        self._answered(at_s)
        self._paced(at_s, ack.max_frames_per_s)
        if ack.store is None:
            return
        best = self.upto.get(ack.store, 0)
        is_older = (ack.upto < best or not ack.upto) and not ack.also and not ack.rejected
        if is_older and len(self.kept) < len(self.frames):
            self.stale_s = at_s
        self.upto[ack.store] = max(best, ack.upto)
        resolved = {key: frame for key, frame in self.kept.items() if covers(ack, key)}
        if self.online:
            self._overdue(at_s, resolved)
        for key, frame in resolved.items():
            frame.resolved_s = at_s
            del self.kept[key]
        for rejection in ack.rejected:
            refused = self.kept.get((ack.store, rejection.seq or 0))
            if refused is not None and rejection.retry:
                refused.refused = True

    def _answered(self, at_s: float) -> None:
        since_s, self.answer_awaited_s = self.answer_awaited_s, None
        if since_s is None or not self.kept:
            return
        oldest_s = min(frame.sent_s for frame in self.kept.values())
        was_due = at_s - oldest_s >= self.timing.resend_s
        if was_due and at_s - since_s >= self.timing.grace_s / 2:
            self.tally.keeps("R37")

    def _paced(self, at_s: float, per_s: float | None) -> None:
        pace = self.pace
        if pace is not None and pace.per_s != per_s:
            allowed = pace.per_s * (at_s - pace.began_s) * (1 + self.timing.slack)
            # A full window may have been under way when the rate limit was sent.
            how = f"{pace.frames} frames in {at_s - pace.began_s:.1f} s at {pace.per_s:g} a second"
            if pace.frames > allowed + MOST_OUTSTANDING:
                self.tally.breaks("R31", how)
            elif pace.frames >= 3:
                self.tally.keeps("R31")
            pace = None
        self.pace = pace if pace or per_s is None else _Pace(at_s, per_s)

    def _overdue(self, at_s: float, frames: dict[Key, _SentFrame]) -> None:
        """A frame that should have been resent by `at_s`, on an open connection."""
        if not self.acks_are_heard:
            return
        for key, frame in frames.items():
            idle_s = at_s - max(frame.sent_s, self.connected_s)
            if idle_s > self.timing.resend_due_s(frame.doublings):
                rule = "R29" if frame.refused else "R25"
                self.tally.breaks(
                    rule, f"{name(key)} was not sent again in {idle_s:.1f} s without an answer"
                )

    def _end(self, ended_s: float) -> None:
        self._paced(ended_s, None)
        if self.online:
            self._overdue(ended_s, self.kept)
        if self.stale_s is not None and ended_s - self.stale_s > self.timing.resend_due_s(0):
            self.tally.keeps("R26")


def covers(ack: Ack, key: Key) -> bool:
    """Whether `ack` says that `key` is resolved."""
    store, seq = key
    return store == ack.store and (seq <= ack.upto or is_within(ack.also, seq))


def is_within(ranges: Iterable[tuple[int, int]], seq: int) -> bool:
    return any(low <= seq <= high for low, high in ranges)


def judge(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    FlashJudge(timing, tally, acks_are_heard=bool(story.all(Acked))).follow(story)
