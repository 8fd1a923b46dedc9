"""Judges the content of frames."""

from collections import defaultdict
from itertools import pairwise
from statistics import median
from uuid import UUID

from msgspec.structs import replace

from conformance.judgement import Tally
from conformance.story import Key, PresenceHeard, Sending, Story
from conformance.trace import ProtocolTimes
from cymba.stimulation.ingest.ledgers import MAX_NEW_STORES_A_DAY
from cymba.stimulation.wire.frames import Unreadable, pack
from cymba.stimulation.wire.messages import EndFrame, Frame, SamplesFrame, StartFrame

# The rules that every readable frame keeps, and those of every readable samples frame.
OF_A_FRAME = ("R6", "R7", "R8", "R9")
OF_SAMPLES = ("R19", "R20", "R21", "R22")
LIVE_FRAME_MS = 10_000
MADE_IN_MS = 1_577_836_800_000  # 2020: no clock that was set shows an earlier date
# An electrode in place has hundreds of ohms. A thousandth of that is kΩ sent as Ω.
CONTACT_OHM = 50
TELLING_UA = 300  # a weaker programme, in mA, could not be distinguished from zero


def judge(story: Story, timing: ProtocolTimes, tally: Tally) -> None:
    sendings = story.all(Sending)
    for sending in sendings:
        _form(sending, tally)
    first = _first_of_each(sendings, tally)
    frames = [sending.frame for sending in first.values() if sending.frame is not None]
    _clocks(frames, tally)
    _sessions(frames, tally)
    _units(frames, tally)
    _numbers(story, first, timing, tally)
    stores = {frame.store for frame in frames} | {
        said.presence.store for said in story.all(PresenceHeard) if said.presence.online
    }
    if stores:
        tally.judge("R34", len(stores) <= MAX_NEW_STORES_A_DAY, f"{len(stores)} stores")


def name(key: Key | None) -> str:
    return "a frame without a number" if key is None else f"seq {key[1]} of store {key[0]}"


def _form(sending: Sending, tally: Tally) -> None:
    read = sending.read
    if isinstance(read, Unreadable):
        tally.breaks(rule_of(read), f"{name(sending.key)}: {read.code}: {read.detail}")
        return
    tally.keeps(*OF_A_FRAME)
    if isinstance(read, SamplesFrame):
        tally.keeps(*OF_SAMPLES)
        long_ms = read.n * read.dt
        tally.judge(
            "R23",
            long_ms <= LIVE_FRAME_MS + read.dt,
            f"{name(sending.key)} covers {long_ms / 1000:g} s",
        )
    if read.utc is None or read.utc >= MADE_IN_MS:
        tally.keeps("R18")
    else:
        tally.breaks("R18", f"{name(sending.key)} has utc {read.utc}, which is before 2020")


def rule_of(unreadable: Unreadable) -> str:
    """The rule broken by a payload that the server would reject."""
    detail = unreadable.detail
    if unreadable.code == "too-large":
        return "R7"
    if unreadable.code == "impossible-value":
        return {"sent:": "R17", "first_seq:": "R24"}.get(detail.split(" ")[0], "R21")
    for words, rule in (
        ("bytes after the frame", "R7"),
        ("not valid", "R6"),
        ("starts with byte", "R6"),
        ("an empty payload", "R6"),
        ("beats in", "R20"),
        ("values, n is", "R19"),
        ("is not a channel name", "R22"),
        ("got float", "R9"),
        ("the integers that JSON holds", "R9"),
    ):
        if words in detail:
            return rule
    return "R8"


def _first_of_each(sendings: list[Sending], tally: Tally) -> dict[Key, Sending]:
    """The first sending of each frame. Those resent must be the same."""
    first: dict[Key, Sending] = {}
    for sending in sendings:
        key = sending.key
        if key is None:
            continue
        before = first.setdefault(key, sending)
        if _digest(before) == _digest(sending):
            tally.keeps("R13", "R39")
        elif _differ_in_time_alone(before.frame, sending.frame):
            tally.breaks("R39", f"{name(key)} was resent with another up or utc")
        else:
            tally.breaks("R13", f"{name(key)} was used for two different contents")
    return first


def reused(sendings: list[Sending]) -> set[Key]:
    """The numbers used for two contents: it is unknown which of them an ack freed."""
    contents: dict[Key, bytes] = {}
    return {
        sending.key
        for sending in sendings
        if sending.key and contents.setdefault(sending.key, _digest(sending)) != _digest(sending)
    }


def _digest(sending: Sending) -> bytes:
    read = sending.read
    return read.digest if isinstance(read, Unreadable) else pack(read).digest


def _differ_in_time_alone(a: Frame | None, b: Frame | None) -> bool:
    if a is None or b is None:
        return False
    return pack(replace(a, up=b.up, utc=b.utc, sent=None)).digest == pack(b).digest


def _clocks(frames: list[Frame], tally: Tally) -> None:
    """`boot` and `up` must not fall as the number rises. An event may come before the samples
    around it, so each kind is compared with itself."""
    boots: dict[int, int] = {}
    ups: dict[tuple[int, int, type[Frame]], int] = {}
    for frame in sorted(frames, key=lambda frame: (frame.store, frame.seq)):
        last_boot = boots.get(frame.store, frame.boot)
        tally.judge(
            "R16",
            frame.boot >= last_boot,
            f"{name((frame.store, frame.seq))}: boot falls from {last_boot} to {frame.boot}",
        )
        boots[frame.store] = max(frame.boot, last_boot)
        clock = (frame.store, frame.boot, type(frame))
        if frame.up < ups.get(clock, 0):
            tally.breaks(
                "R16",
                f"{name((frame.store, frame.seq))}: up falls from {ups[clock]} to {frame.up}",
            )
        ups[clock] = max(frame.up, ups.get(clock, 0))


def _sessions(frames: list[Frame], tally: Tally) -> None:
    starts: dict[UUID, Frame] = {}
    for frame in frames:
        if isinstance(frame, StartFrame):
            other = starts.setdefault(frame.sid, frame)
            tally.judge(
                "R15",
                frame.sid.version == 4 and other is frame,
                f"{name((frame.store, frame.seq))} begins a session under {frame.sid}"
                + ("" if other is frame else f", as seq {other.seq} did")
                + ("" if frame.sid.version == 4 else ", which is no random UUID"),
            )
    for frame in frames:
        if isinstance(frame, EndFrame):
            start = starts.get(frame.sid)
            first_seq = frame.first_seq if start is None else start.seq
            tally.judge(
                "R24",
                (frame.first_seq, frame.last_seq) == (first_seq, frame.seq),
                f"{name((frame.store, frame.seq))} ends {frame.first_seq} … {frame.last_seq}; "
                f"the session was {first_seq} … {frame.seq}",
            )


def _units(frames: list[Frame], tally: Tally) -> None:
    """A value near a thousandth of what is plausible is in the wrong unit."""
    aims = {
        one.sid: one.programme.amplitude_ua or 0 for one in frames if isinstance(one, StartFrame)
    }
    columns: dict[tuple[UUID, str], list[int]] = defaultdict(list)
    for frame in frames:
        if isinstance(frame, SamplesFrame):
            for channel in ("amplitude_ua", "amplitude_delivered_ua", "impedance_ohm"):
                column = frame.c.get(channel, [])
                columns[frame.sid, channel] += [value for value in column if value]
    for (sid, channel), values in columns.items():
        if not values:
            continue
        if channel == "impedance_ohm":
            middle = median(values)
            if middle < CONTACT_OHM:
                tally.breaks("R19", f"{channel} is around {middle:g}: kOhm sent as Ohm?")
            continue
        aim_ua, highest = aims.get(sid, 0), max(values)
        if aim_ua >= TELLING_UA and 0.3 * aim_ua <= 1000 * highest <= 3 * aim_ua:
            tally.breaks(
                "R19",
                f"{channel} reaches {highest} where the programme has {aim_ua}: mA sent as uA?",
            )


def _numbers(story: Story, first: dict[Key, Sending], timing: ProtocolTimes, tally: Tally) -> None:
    """Gaps that only a skipped number explains.

    That is within a session, whose frames are sent in order, or between two sessions once the
    device has reported an empty flash.
    """
    settled_s = story.ended_s - timing.resend_due_s(0)
    emptied = [
        said.at_s
        for said in story.all(PresenceHeard)
        if not said.retained and said.presence.queued == 0
    ]
    for before, after in pairwise(sorted(first)):
        if before[0] != after[0]:
            continue
        if after[1] == before[1] + 1:
            tally.keeps("R12")
            continue
        left, right = first[before].frame, first[after].frame
        if left is None or right is None:
            continue
        came_s = first[after].at_s
        follows = left.sid == right.sid and came_s < settled_s
        if follows or any(at_s > came_s for at_s in emptied):
            missing = f"{before[1] + 1} … {after[1] - 1} of store {before[0]}"
            tally.breaks("R12", f"seq {missing} was never sent")
